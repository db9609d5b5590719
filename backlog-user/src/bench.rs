//! Support for benchmarks and end-to-end tests: feeds ring-buffer bytes and map contents through
//! the code of a live run, up to a chosen stage. The tool itself does not use it.

use std::io::{self, Write};

use backlog_core::aggregate::decode::{Record, decode};
use backlog_core::aggregate::translate::Translator;
use backlog_core::event::{Event, What};
use backlog_core::model::Model;
use backlog_core::model::reconcile::Blind;
use backlog_core::recording::options::ReplayOptions;
use backlog_ebpf::distribution::Distributions;
use backlog_ebpf::record::{self, Header};
use backlog_ebpf::totals::Totals;
use jiff::tz::TimeZone;

use crate::bpf::live::BATCH;
use crate::commands::show::Presenter;
use crate::output::json::Json;
use crate::output::sink::Sink;
use crate::output::table::{Table, TextStyle};

/// How far the pipeline processes events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Events are decoded and discarded.
    Decode,
    /// Events are applied to the model.
    Model,
    /// The table prints them.
    Table,
    /// JSON lines print them.
    Json,
}

/// What the maps hold for one slot.
#[derive(Clone, Debug)]
pub struct Counted {
    /// The listener's slot.
    pub slot: u32,
    /// The totals of each CPU.
    pub cpus: Vec<Totals>,
    /// The distributions, which all CPUs share.
    pub distributions: Box<Distributions>,
}

/// The event pipeline of a run, without a kernel.
pub struct Pipeline {
    translator: Translator,
    end: End,
    /// Reused between batches, as in a session.
    events: Vec<Event>,
    /// Slots of closed listeners, freed after each call of [`Pipeline::records`].
    closed: Vec<u32>,
}

/// The last stage of the pipeline.
enum End {
    Nowhere,
    Model(Box<Model>),
    Output(Box<Presenter>, Box<dyn Sink>),
}

impl Pipeline {
    /// Creates a pipeline that ends at this stage; the output writes to `out`.
    pub fn new(stage: Stage, out: impl Write + 'static) -> Self {
        let style = TextStyle { zone: TimeZone::UTC, idle_rows: false, quiet: false, cost: false };
        let presenter =
            || Box::new(Presenter::new(crate::clock::start(), 0, ReplayOptions::default()));
        let end = match stage {
            Stage::Decode => End::Nowhere,
            Stage::Model => End::Model(Box::new(Model::new(0))),
            Stage::Table => End::Output(presenter(), Box::new(Table::new(out, style))),
            Stage::Json => End::Output(presenter(), Box::new(Json::new(out, false))),
        };
        Self { translator: Translator::default(), end, events: Vec::new(), closed: Vec::new() }
    }

    /// Processes records, each as long as its header says, in batches like those of a live run.
    /// Frees the slots of closed listeners afterwards.
    ///
    /// # Errors
    ///
    /// Writing the output failed.
    pub fn records(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            for _ in 0..BATCH {
                let record = first(bytes);
                if record.is_empty() {
                    break;
                }
                bytes = &bytes[record.len()..];
                let decoded = decode(record);
                if let Ok(Record::Closed(record::Listener { header, .. })) = &decoded {
                    self.closed.push(header.slot);
                }
                // Without a kernel, no map holds information on the listener.
                self.translator.record(&decoded, |_| None, &mut self.events);
            }
            self.write_down()?;
        }
        for slot in self.closed.drain(..) {
            self.translator.release(slot, None);
        }
        Ok(())
    }

    /// Processes the counts of the epoch that has just ended.
    ///
    /// # Errors
    ///
    /// Writing the output failed.
    pub fn counts(&mut self, time_ns: u64, ended: u32, counted: &[Counted]) -> io::Result<()> {
        for Counted { slot, cpus, distributions } in counted {
            let Some(listener) = self.translator.registry.at(*slot) else { continue };
            let distributions = |_: &Distributions| Some(**distributions);
            let count = self.translator.count(*slot, cpus.iter(), ended, distributions);
            self.events.push(Event { time_ns, what: What::Count { listener, count } });
        }
        self.write_down()
    }

    /// Ends an interval.
    ///
    /// # Errors
    ///
    /// Writing the output failed.
    pub fn interval(&mut self, time_ns: u64) -> io::Result<()> {
        match &mut self.end {
            End::Nowhere => {}
            End::Model(model) => drop(model.tick(time_ns)),
            End::Output(run, sink) => {
                drop(run.interval(sink.as_mut(), time_ns, &Blind::default())?);
            }
        }
        Ok(())
    }

    /// The number of records that could not be decoded.
    #[must_use]
    pub fn decode_errors(&self) -> u64 {
        self.translator.decode_errors()
    }

    fn write_down(&mut self) -> io::Result<()> {
        let events = self.events.drain(..);
        match &mut self.end {
            End::Nowhere => drop(events),
            End::Model(model) => events.for_each(|event| drop(model.apply(&event))),
            End::Output(run, sink) => {
                for event in events {
                    run.event(sink.as_mut(), &event)?;
                }
                run.flush(sink.as_mut())?;
            }
        }
        Ok(())
    }
}

/// The first of these records; all remaining bytes if it is truncated.
fn first(bytes: &[u8]) -> &[u8] {
    let size =
        bytes.get(2..).and_then(<[u8]>::first_chunk).map_or(0, |size| u16::from_ne_bytes(*size));
    bytes.get(..usize::from(size).max(size_of::<Header>())).unwrap_or(bytes)
}
