//! Newtypes of the shared types that implement aya's `Pod`. They are here so that `backlog-ebpf`
//! needs no dependency.

use backlog_ebpf::accepts::{Failure, FailureKey, Workers};
use backlog_ebpf::distribution::Distributions;
use backlog_ebpf::pending::{Pending, Waiting};
use backlog_ebpf::record::Listener;
use backlog_ebpf::totals::{Stray, Totals};

/// [`Totals`] in a map.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub(crate) struct TotalsPod(pub(crate) Totals);

/// [`Distributions`] in a map.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub(crate) struct DistributionsPod(pub(crate) Distributions);

/// [`Waiting`] in a map.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub(crate) struct WaitingPod(pub(crate) Waiting);

/// [`Stray`] in a map.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub(crate) struct StrayPod(pub(crate) Stray);

/// [`Listener`] in a map.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub(crate) struct ListenerPod(pub(crate) Listener);

/// [`Pending`] in a map.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub(crate) struct PendingPod(pub(crate) Pending);

/// [`Workers`] in a map.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub(crate) struct WorkersPod(pub(crate) Workers);

/// [`FailureKey`] in a map.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub(crate) struct FailureKeyPod(pub(crate) FailureKey);

/// [`Failure`] in a map.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub(crate) struct FailurePod(pub(crate) Failure);

// SAFETY: repr(C), integers only, no padding, any bit pattern is valid.
unsafe impl aya::Pod for TotalsPod {}
// SAFETY: as above.
unsafe impl aya::Pod for DistributionsPod {}
// SAFETY: as above.
unsafe impl aya::Pod for WaitingPod {}
// SAFETY: as above.
unsafe impl aya::Pod for StrayPod {}
// SAFETY: as above.
unsafe impl aya::Pod for ListenerPod {}
// SAFETY: as above.
unsafe impl aya::Pod for PendingPod {}
// SAFETY: as above.
unsafe impl aya::Pod for FailureKeyPod {}
// SAFETY: as above.
unsafe impl aya::Pod for FailurePod {}
// SAFETY: as above.
unsafe impl aya::Pod for WorkersPod {}
