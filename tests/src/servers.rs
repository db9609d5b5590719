//! Real servers of Debian's packages, started as their users start them: the truth about who
//! listens. Each says before what its listeners will be, and is only there when they are.
//!
//! `root`: the folder that they run in; `plan`: how each is started, and its truth; `running`: one
//! of them from its start to its end; `load`: clients that connect all the time.

mod load;
mod plan;
mod root;
mod running;

pub use load::{Clients, all_at_once, answers, ask, one_by_one, silent};
pub use plan::{Plan, Truth, all};
pub use root::{Root, VARIABLE};
pub use running::Server;
