//! How each server is started, with the options in its documentation, and what its listeners will
//! then be. The numbers are from the programs' own sources and defaults.

mod wsgi;

use anyhow::Result;

use crate::sysctl;
use wsgi::{application, at_work};

/// A server to be started.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Plan {
    /// The name in error messages.
    pub name: &'static str,
    /// Its path in the servers' root.
    pub program: &'static str,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Its environment.
    pub variables: Vec<(&'static str, &'static str)>,
    /// Files in its /tmp, with their content.
    pub files: Vec<(&'static str, String)>,
    /// The expected facts about it.
    pub truth: Truth,
}

/// The known facts about a server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Truth {
    /// The listening address.
    pub addr: &'static str,
    /// The port.
    pub port: u16,
    /// The name of the process that calls `listen()`.
    pub opener: &'static str,
    /// The name of the main process, the parent of the others.
    pub comm: &'static str,
    /// A part of the main process's command line.
    pub cmdline: &'static str,
    /// How many processes hold each of its listeners.
    pub processes: usize,
    /// How many sockets listen on the port.
    pub sockets: usize,
    /// Do they share the port by `SO_REUSEPORT`?
    pub reuseport: bool,
    /// What `listen()` is called with.
    pub asked: i64,
    /// How often, on each socket.
    pub calls: usize,
}

impl Truth {
    /// The limit that the kernel grants.
    ///
    /// # Errors
    /// When /proc is not mounted.
    pub fn limit(&self) -> Result<u64> {
        let most = somaxconn()?;
        Ok(u64::try_from(self.asked).map_or(most, |asked| asked.min(most)))
    }
}

/// A worker that was just forked misses the signal that ends it, and gunicorn waits for it: for 30
/// s by default.
const GUNICORN: &str = "--graceful-timeout 1 --chdir /tmp app:app";

/// One of each server, on ports from `first` on.
///
/// # Errors
/// When /proc is not mounted.
pub fn all(first: u16) -> Result<Vec<Plan>> {
    Ok(vec![
        Plan::nginx_reuseport(first, 3),
        Plan::gunicorn(first + 1, 2),
        Plan::http_server(first + 2),
        Plan::node_exporter(first + 3)?,
        Plan::activated(first + 4),
    ])
}

impl Plan {
    /// nginx with a listener for each of its workers. The master opens all of them, and every
    /// process holds them: a worker just does not accept from those of others.
    #[must_use]
    pub fn nginx_reuseport(port: u16, workers: usize) -> Self {
        let plan = Self::nginx_with("nginx reuseport", port, workers, " reuseport");
        Self { truth: Truth { sockets: workers, reuseport: true, ..plan.truth }, ..plan }
    }

    /// The same with this backlog.
    #[must_use]
    pub fn nginx_with_backlog(port: u16, workers: usize, backlog: u32) -> Self {
        let more = format!(" reuseport backlog={backlog}");
        let plan = Self::nginx_with("nginx reuseport", port, workers, &more);
        let asked = i64::from(backlog);
        Self { truth: Truth { sockets: workers, reuseport: true, asked, ..plan.truth }, ..plan }
    }

    /// nginx in its usual configuration.
    #[must_use]
    pub fn nginx(port: u16) -> Self {
        Self::nginx_with("nginx", port, 1, "")
    }

    fn nginx_with(name: &'static str, port: u16, workers: usize, more: &str) -> Self {
        let paths: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|of| format!("    {of}_temp_path /tmp/{of};\n"))
            .concat();
        let text = format!(
            "user www-data;\nworker_processes {workers};\npid /tmp/nginx.pid;\ndaemon off;\n\
             error_log stderr;\nevents {{}}\nhttp {{\n    access_log off;\n{paths}    \
             server {{\n        listen 127.0.0.1:{port}{more};\n        return 204;\n    }}\n}}\n"
        );
        Self {
            name,
            program: "/usr/sbin/nginx",
            arguments: words("-e stderr -c /tmp/nginx.conf"),
            variables: Vec::new(),
            files: vec![("nginx.conf", text)],
            truth: Truth {
                opener: "nginx",
                comm: "nginx",
                // It overwrites its arguments with this.
                cmdline: "nginx: master process",
                processes: workers + 1,
                // NGX_LISTEN_BACKLOG on Linux.
                asked: 511,
                // Once when it opens the socket, and once when it has opened all.
                calls: 2,
                ..Truth::simple("127.0.0.1", port)
            },
        }
    }

    /// gunicorn, which forks its workers after it has opened the listener.
    #[must_use]
    pub fn gunicorn(port: u16, workers: usize) -> Self {
        Self {
            name: "gunicorn",
            program: "/usr/bin/gunicorn",
            arguments: words(&format!("-b 127.0.0.1:{port} -w {workers} {GUNICORN}")),
            // For its heartbeat files.
            variables: vec![("TMPDIR", "/tmp")],
            files: vec![application()],
            truth: Truth {
                // The name of the script, not that of its interpreter.
                opener: "gunicorn",
                comm: "gunicorn",
                cmdline: "/usr/bin/gunicorn",
                processes: workers + 1,
                // Its default for the setting `backlog`.
                asked: 2048,
                ..Truth::simple("127.0.0.1", port)
            },
        }
    }

    /// gunicorn whose answers say which process they are from. It works on each request for the
    /// number of seconds after the `?`.
    #[must_use]
    pub fn gunicorn_at_work(port: u16, workers: usize) -> Self {
        Self { files: vec![at_work()], ..Self::gunicorn(port, workers) }
    }

    /// uWSGI with the same application, and a listen queue of this length: it does not start if
    /// `net.core.somaxconn` would clamp that.
    #[must_use]
    pub fn uwsgi(port: u16, workers: usize, backlog: u32) -> Self {
        Self {
            name: "uWSGI",
            program: "/usr/bin/uwsgi-core",
            arguments: words(&format!(
                "--plugins-dir /usr/lib/uwsgi/plugins --plugin python3 --master --die-on-term \
                 --http-socket 127.0.0.1:{port} --listen {backlog} --processes {workers} \
                 --chdir /tmp --wsgi app:app"
            )),
            variables: Vec::new(),
            files: vec![at_work()],
            truth: Truth {
                opener: "uwsgi-core",
                comm: "uwsgi-core",
                cmdline: "--http-socket",
                processes: workers + 1,
                asked: i64::from(backlog),
                ..Truth::simple("127.0.0.1", port)
            },
        }
    }

    /// uvicorn, a single process with an event loop, which blocks while it works on a request.
    #[must_use]
    pub fn uvicorn(port: u16, backlog: u32) -> Self {
        Self {
            name: "uvicorn",
            program: "/usr/bin/python3",
            arguments: words(&format!(
                "-m uvicorn --host 127.0.0.1 --port {port} --backlog {backlog} \
                 --log-level warning --app-dir /tmp app:app"
            )),
            variables: Vec::new(),
            files: vec![(
                "app.py",
                "import os, time\n\
                 async def app(scope, receive, send):\n\
                 \x20   if scope['type'] != 'http':\n\
                 \x20       return\n\
                 \x20   time.sleep(float(scope['query_string'] or 0))\n\
                 \x20   await send({'type': 'http.response.start', 'status': 200})\n\
                 \x20   body = str(os.getpid()).encode()\n\
                 \x20   await send({'type': 'http.response.body', 'body': body})\n"
                    .to_owned(),
            )],
            truth: Truth {
                opener: "python3",
                comm: "python3",
                cmdline: "uvicorn",
                asked: i64::from(backlog),
                ..Truth::simple("127.0.0.1", port)
            },
        }
    }

    /// Apache with exactly this many accepting children. It logs which of them answered to
    /// [`Plan::APACHE_LOG`].
    #[must_use]
    pub fn apache_prefork(port: u16, children: usize, backlog: u32) -> Self {
        let modules: String = ["mpm_prefork", "authz_core"]
            .map(|name| {
                format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n")
            })
            .concat();
        let text = format!(
            "ServerRoot /tmp\nServerName localhost\n{modules}PidFile /tmp/apache.pid\n\
             ErrorLog /dev/stderr\nUser www-data\nGroup www-data\n\
             Listen 127.0.0.1:{port}\nListenBacklog {backlog}\n\
             StartServers {children}\nMinSpareServers 1\nMaxSpareServers {children}\n\
             MaxRequestWorkers {children}\nKeepAlive Off\nTimeOut 120\n\
             LogFormat \"%{{pid}}P\" process\nCustomLog /tmp/{} process\nDocumentRoot /tmp\n",
            Self::APACHE_LOG
        );
        Self {
            name: "Apache prefork",
            program: "/usr/sbin/apache2",
            arguments: words("-DFOREGROUND -f /tmp/apache.conf"),
            variables: Vec::new(),
            files: vec![("apache.conf", text)],
            truth: Truth {
                opener: "apache2",
                comm: "apache2",
                cmdline: "/usr/sbin/apache2",
                processes: children + 1,
                asked: i64::from(backlog),
                ..Truth::simple("127.0.0.1", port)
            },
        }
    }

    /// A file in its /tmp: a line with the child's pid for each answered request.
    pub const APACHE_LOG: &str = "answered";

    /// haproxy, which takes this many connections at a time and leaves the others queued.
    #[must_use]
    pub fn haproxy(port: u16, most: u32, backlog: u32) -> Self {
        let text = format!(
            "global\n  maxconn 100\ndefaults\n  mode http\n  timeout client 120s\n  \
             timeout connect 10s\n  timeout server 10s\nfrontend web\n  \
             bind 127.0.0.1:{port} backlog {backlog}\n  maxconn {most}\n  \
             http-request return status 204\n"
        );
        Self {
            name: "haproxy",
            program: "/usr/sbin/haproxy",
            arguments: words("-db -f /tmp/haproxy.cfg"),
            variables: Vec::new(),
            files: vec![("haproxy.cfg", text)],
            truth: Truth {
                opener: "haproxy",
                comm: "haproxy",
                cmdline: "/usr/sbin/haproxy",
                asked: i64::from(backlog),
                ..Truth::simple("127.0.0.1", port)
            },
        }
    }

    /// Python's own server on both IP versions at once.
    #[must_use]
    pub fn http_server(port: u16) -> Self {
        Self {
            name: "python dual-stack",
            program: "/usr/bin/python3",
            arguments: words(&format!("-m http.server --bind :: --directory /tmp {port}")),
            variables: Vec::new(),
            files: Vec::new(),
            truth: Truth {
                opener: "python3",
                comm: "python3",
                cmdline: "http.server",
                // The request_queue_size of socketserver.
                asked: 5,
                ..Truth::simple("::", port)
            },
        }
    }

    /// A Go server that listens with MPTCP, or without it if the kernel has none. It requests what
    /// the system permits.
    ///
    /// # Errors
    /// When /proc is not mounted.
    pub fn node_exporter(port: u16) -> Result<Self> {
        let asked = i64::try_from(somaxconn()?)?;
        Ok(Self {
            name: "go mptcp",
            program: "/usr/bin/prometheus-node-exporter",
            arguments: words(&format!(
                "--web.listen-address=127.0.0.1:{port} --collector.disable-defaults"
            )),
            variables: vec![("GODEBUG", "multipathtcp=1")],
            files: Vec::new(),
            truth: Truth {
                // The kernel keeps fifteen characters.
                opener: "prometheus-node",
                comm: "prometheus-node",
                cmdline: "--web.listen-address",
                asked,
                ..Truth::simple("127.0.0.1", port)
            },
        })
    }

    /// A listener that one program creates for another: gunicorn is started in the same process,
    /// but only when a client connects. [`Plan::woken`] describes it after that.
    #[must_use]
    pub fn activated(port: u16) -> Self {
        Self {
            name: "socket activation",
            program: "/usr/bin/systemd-socket-activate",
            arguments: words(&format!(
                "-l 127.0.0.1:{port} -E TMPDIR=/tmp /usr/bin/gunicorn -w 2 {GUNICORN}"
            )),
            variables: Vec::new(),
            files: vec![application()],
            truth: Truth {
                opener: "systemd-socket-",
                comm: "systemd-socket-",
                cmdline: "systemd-socket-activate",
                // SOMAXCONN_DELUXE: whatever the system permits.
                asked: i64::from(i32::MAX),
                ..Truth::simple("127.0.0.1", port)
            },
        }
    }

    /// [`Plan::activated`] after its first client: gunicorn calls `listen()` again on the inherited
    /// socket.
    #[must_use]
    pub fn woken(port: u16) -> Truth {
        Truth { processes: 3, ..Self::gunicorn(port, 2).truth }
    }
}

impl Truth {
    /// A single socket of a single process.
    fn simple(addr: &'static str, port: u16) -> Self {
        Self {
            addr,
            port,
            opener: "",
            comm: "",
            cmdline: "",
            processes: 1,
            sockets: 1,
            reuseport: false,
            asked: 0,
            calls: 1,
        }
    }
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn somaxconn() -> Result<u64> {
    Ok(sysctl::get("net.core.somaxconn")?.parse()?)
}
