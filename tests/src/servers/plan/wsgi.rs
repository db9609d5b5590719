//! The WSGI applications for gunicorn and uWSGI, as the name and text of a file.

/// A minimal application.
pub(super) fn application() -> (&'static str, String) {
    let text = "def app(environ, start):\n    start('204 No Content', [])\n    return []\n";
    ("app.py", text.to_owned())
}

/// An application that answers with its process ID, after some work.
pub(super) fn at_work() -> (&'static str, String) {
    let text = "import os, time\n\
                def app(environ, start):\n\
                \x20   time.sleep(float(environ.get('QUERY_STRING') or 0))\n\
                \x20   start('200 OK', [('Content-Type', 'text/plain')])\n\
                \x20   return [str(os.getpid()).encode()]\n";
    ("app.py", text.to_owned())
}
