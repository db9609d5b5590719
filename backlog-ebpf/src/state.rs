//! The state of the programs: the maps, and the access to them that handlers share. [`maps`] and
//! the globals (`kernel::globals`) are the contract with the loader.

pub(crate) mod calls;
pub(crate) mod counters;
pub(crate) mod filter;
pub(crate) mod histograms;
pub(crate) mod listener_cache;
pub(crate) mod listener_info;
pub(crate) mod maps;
pub(crate) mod mib_snapshot;
pub(crate) mod namespace;
pub(crate) mod pending;
pub(crate) mod ring;
pub(crate) mod scratch;
pub(crate) mod shared;
pub(crate) mod slots;
pub(crate) mod values;
pub(crate) mod workers;
