//! A worker that is held inside a burst: what it uses stays, whatever is published meanwhile.

mod common;

use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use arrayvec::ArrayVec;
use common::frames::{FORTH, to_port};
use common::setup::{ChildSa, SECOND, engine, tables};
use common::{Gateway, LAN, SLOTS, TICKS_PER_SECOND, WAN, Wire, limits, page, ports};
use crypto::{Backend, BackendError, Context, Job, Key, KeyError, KeyMaterial, KeyMemory, Suite};
use esplanade_dataplane::shared::{Shared, Tables};
use esplanade_dataplane::worker::counters::WorkerCounters;
use esplanade_dataplane::worker::{Arrival, HeapBuffer, Pipeline, PipelineParts};
use packet::tables::Change;

/// Versions of the tables published while the worker is held.
const VERSIONS: usize = 2000;

/// An engine that stands still in the middle of a burst, with the keys in its hands.
#[derive(Debug)]
struct Gate {
    entered: mpsc::Sender<()>,
    go: Arc<Mutex<mpsc::Receiver<()>>>,
}

#[derive(Debug)]
struct Gated {
    engine: Box<dyn Context>,
    entered: mpsc::Sender<()>,
    go: Arc<Mutex<mpsc::Receiver<()>>>,
}

impl Backend for Gate {
    fn name(&self) -> &'static str {
        "gate"
    }

    fn describe(&self) -> String {
        self.name().to_owned()
    }

    fn expand(&self, suite: Suite, material: &KeyMaterial<'_>, memory: &KeyMemory) -> Result<Key, KeyError> {
        engine().expand(suite, material, memory)
    }

    fn context(&self) -> Result<Box<dyn Context>, BackendError> {
        let (entered, go) = (self.entered.clone(), Arc::clone(&self.go));
        Ok(Box::new(Gated { engine: engine().context()?, entered, go }))
    }
}

impl Context for Gated {
    fn seal(&mut self, jobs: &mut [Job<'_>]) {
        self.entered.send(()).expect("the test listens");
        self.go.lock().expect("one worker").recv().expect("the test lets go");
        self.engine.seal(jobs);
    }

    fn open(&mut self, jobs: &mut [Job<'_>]) {
        self.engine.open(jobs);
    }
}

fn pipeline(shared: &Arc<Shared<HeapBuffer>>, gate: &Gate) -> Pipeline<HeapBuffer> {
    let (page, _) = page(1);
    Pipeline::new(PipelineParts {
        index: 0,
        shared: Arc::clone(shared),
        crypto: gate.context().expect("a context"),
        counters: WorkerCounters::new(&page, 0, SLOTS),
        early_packets: 16,
        reassembly_datagrams: 16,
        spare: |_, len| Some(HeapBuffer::new(&vec![0; len.max(2048)])),
    })
}

/// One burst of one packet over the tables of the moment; returns what was sent.
fn burst(shared: &Shared<HeapBuffer>, mut pipeline: Pipeline<HeapBuffer>) -> Wire {
    let mut worker = shared.domain.register().expect("a slot");
    let mut wire = Wire::default();
    let frame = HeapBuffer::new(&to_port(LAN, &FORTH.ping(56)));
    let mut arrivals: ArrayVec<_, 64> = [Arrival::Frame { port: LAN, frame }].into_iter().collect();
    let tables = shared.tables.load(&worker);
    pipeline.process(tables, &mut arrivals, &mut wire, 1);
    worker.quiescent();
    wire
}

#[test]
fn an_sa_in_use_outlives_every_change() {
    let (entered, has_entered) = mpsc::channel();
    let (let_go, go) = mpsc::channel();
    let gate = Gate { entered, go: Arc::new(Mutex::new(go)) };
    let sa = ChildSa::new(Suite::from_transforms(20, 128, 0).expect("a suite"));
    let mut tables: Tables = tables(sa.side, |_| {});
    sa.install(&mut tables, &gate);
    let shared = Arc::new(Shared::new(ports(), 1, &limits(), tables.clone(), TICKS_PER_SECOND));
    let outbound = tables.sad().entry(sa.spi()).and_then(|entry| entry.outbound.clone());
    let outbound = Arc::downgrade(&outbound.expect("installed"));
    let worker = thread::spawn({
        let (shared, pipeline) = (Arc::clone(&shared), pipeline(&shared, &gate));
        move || burst(&shared, pipeline)
    });
    has_entered.recv().expect("the worker seals");

    tables.apply(Change::FreeSpi(sa.spi())).expect("it is there");
    for _ in 0..VERSIONS {
        tables.commit();
        let ticket = shared.tables.publish(tables.clone());
        shared.domain.reclaim();
        assert!(!shared.domain.grace_passed(ticket));
        assert!(outbound.upgrade().is_some(), "the worker seals with its key");
    }
    assert_eq!(shared.domain.pending(), VERSIONS);
    let_go.send(()).expect("the worker waits");
    let wire = worker.join().expect("no panic");
    shared.domain.reclaim();
    assert_eq!(shared.domain.pending(), 0);
    assert!(outbound.upgrade().is_none(), "nobody refers to it any more");

    let mut peer = Gateway::new(1, common::setup::tables(SECOND, |_| {}));
    sa.mirrored().install(&mut peer.tables, &*peer.engine);
    let sealed = common::frames::ip_of(&wire.frames[0].1).to_vec();
    assert_eq!(peer.feed(0, WAN, &[to_port(WAN, &sealed)]).len(), 1, "sealed with the whole key");
}
