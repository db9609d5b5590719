//! The entry points, one file for each way of attaching. They take the
//! arguments out of the context and call a body; nothing else.

mod fentry;
