//! Fuzzes one reader of external bytes (`backlog_user::fuzz`). `cargo xtask fuzz` builds it with
//! libFuzzer and names the target in the environment. Built without libFuzzer, it reads files once,
//! which reproduces a finding: `cargo run -p backlog-fuzz -- TARGET FILE...`.

#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
mod mutate;
#[cfg(fuzzing)]
mod search;

#[cfg(not(fuzzing))]
fn main() -> std::process::ExitCode {
    use std::process::ExitCode;

    let mut arguments = std::env::args().skip(1);
    let Some(target) = arguments.next().and_then(|name| backlog_user::fuzz::Target::named(&name))
    else {
        let names = backlog_user::fuzz::TARGETS.map(|target| target.name).join("|");
        eprintln!("backlog-fuzz: which target? Give {names} and FILES");
        return ExitCode::from(2);
    };
    for file in arguments {
        match std::fs::read(&file) {
            Ok(bytes) => (target.read)(&bytes),
            Err(error) => {
                eprintln!("backlog-fuzz: cannot read {file}: {error}");
                return ExitCode::from(2);
            }
        }
    }
    ExitCode::SUCCESS
}
