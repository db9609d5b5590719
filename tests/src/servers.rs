//! Real servers from Debian packages, started as their users start them: the truth about who
//! listens. Each declares what its listeners will be, and counts as started only when they exist.
//!
//! `root` is the folder that they run in, `plan` defines how each is started and its truth,
//! `running` handles one of them from its start to its end, and `load` has clients that connect all
//! the time.

mod load;
mod plan;
mod root;
mod running;

pub use load::{Clients, all_at_once, answers, ask, one_by_one, silent};
pub use plan::{Plan, Truth, all};
pub use root::{Root, VARIABLE};
pub use running::Server;
