//! `serve --web-config`: TLS and passwords, tested by curl with certificates from openssl.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use backlog_tests::clock::wait_until;
use backlog_tests::service::Service;

use super::help::{LIMIT, in_guest_once, scratch};

/// The hash of `secret`, made by crypt(3) of the C library.
const SECRET: &str = "$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW";

/// A folder with a certificate, its key and the configuration.
struct Web(PathBuf);

impl Web {
    fn new() -> Self {
        let folder = scratch("web");
        fs::create_dir(&folder).unwrap();
        let web = Self(folder);
        web.certify();
        let text = format!(
            "tls_server_config:\n  cert_file: cert.pem\n  key_file: key.pem\n\
             basic_auth_users:\n  alice: {SECRET}\n"
        );
        fs::write(web.file("web.yml"), text).unwrap();
        web
    }

    fn file(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    /// Replaces the certificate by another one.
    fn certify(&self) {
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]);
        openssl.args(["-nodes", "-days", "2", "-subj", "/CN=localhost"]);
        openssl.args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]);
        openssl.args(["-keyout", &self.file("key.pem"), "-out", &self.file("cert.pem")]);
        let output = openssl.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// The status of an answer (0 for none), and its headers.
    fn curl(&self, url: &str, more: &[&str]) -> (u16, String) {
        let mut curl = Command::new("curl");
        curl.args(["-s", "-D", "-", "-o", "/dev/null", "-w", "%{http_code}", "-m", "60"]);
        let output = curl.args(["--cacert", &self.file("cert.pem")]).args(more).arg(url).output();
        let text = String::from_utf8(output.unwrap().stdout).unwrap();
        let (head, status) = text.split_at(text.len() - 3);
        (status.parse().unwrap(), head.to_ascii_lowercase())
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn is_there(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok()
}

#[test]
fn curl_needs_tls_a_password_and_for_the_page_the_token() {
    in_guest_once(|| {
        if !is_there("curl") || !is_there("openssl") {
            println!("absent: TLS asked by curl: no curl or no openssl");
            return;
        }
        let web = Web::new();
        let (config, token_file) = (web.file("web.yml"), web.file("token"));
        // With TLS, the page is available beyond loopback.
        let arguments =
            ["--listen", "0.0.0.0:0", "--web-config", &config, "--token-file", &token_file];
        let service = Service::start(&arguments, LIMIT).unwrap();
        let port = service.address().port();
        let url = |path: &str| format!("https://127.0.0.1:{port}{path}");
        let alice = ["-u", "alice:secret"];
        let status = |path: &str, more: &[&str]| web.curl(&url(path), more).0;
        wait_until("the first interval", LIMIT, || Ok(status("/-/ready", &alice) == 200)).unwrap();
        assert_eq!(status("/metrics", &alice), 200);
        for more in [&[][..], &["-u", "alice:wrong"], &["-u", "bob:secret"]] {
            assert_eq!(status("/metrics", more), 401, "{more:?}");
        }
        assert_eq!(web.curl(&format!("http://127.0.0.1:{port}/metrics"), &alice).0, 0);
        // The token is required in addition to the password.
        assert_eq!(status("/", &alice), 401);
        let token = fs::read_to_string(Path::new(&token_file)).unwrap();
        let (page, head) = web.curl(&url(&format!("/?token={}", token.trim_end())), &alice);
        assert!(page == 200 && head.contains("; secure"), "{head}");
        // After SIGHUP, a renewed certificate is used instead of the old one.
        let old = web.file("old.pem");
        fs::copy(web.file("cert.pem"), &old).unwrap();
        web.certify();
        assert_eq!(status("/metrics", &alice), 0);
        service.signal(libc::SIGHUP).unwrap();
        wait_until("the new certificate", LIMIT, || Ok(status("/metrics", &alice) == 200)).unwrap();
        assert_eq!(status("/metrics", &["-u", "alice:secret", "--cacert", &old]), 0);
        // An unsupported setting changes nothing.
        let behind = service.messages().len();
        fs::write(&config, "tls_server_config: {client_ca_file: x}\n").unwrap();
        service.signal(libc::SIGHUP).unwrap();
        wait_until("the refusal", LIMIT, || {
            Ok(service.messages()[behind..].contains("client_ca_file"))
        })
        .unwrap();
        assert_eq!(status("/metrics", &alice), 200);
        assert!(service.stop(LIMIT).unwrap().success());
    });
}
