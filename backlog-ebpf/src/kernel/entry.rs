//! The entry points, one file for each way of attaching. They name the program and
//! say whether the tracer runs; which argument goes to which body stands once, in
//! [`hooks`].

mod context;
mod fentry;
mod hooks;
mod iter;
mod kprobe;
mod tracepoint;
