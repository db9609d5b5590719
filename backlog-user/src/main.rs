//! The program. Everything is in the library, which benchmarks and tests share.

use std::process::ExitCode;

fn main() -> ExitCode {
    backlog_user::main()
}
