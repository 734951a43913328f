//! Devices that tests play.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use dpdk::{FlowError, FlowMatch};
use packet::PortId;

use super::plan::{Form, Pattern, RuleForms};
use super::rules::MakeRules;

/// Rules that are in force, with their queues.
pub(crate) type Live = Rc<RefCell<BTreeMap<(PortId, FlowMatch), u16>>>;

/// Devices with room for so many rules together.
#[derive(Clone, Default)]
pub(crate) struct FakeDevices {
    pub(crate) room: Rc<Cell<usize>>,
    pub(crate) live: Live,
}

/// Gone when dropped.
pub(crate) struct FakeRule {
    key: (PortId, FlowMatch),
    live: Live,
}

impl MakeRules for FakeDevices {
    type Rule = FakeRule;

    fn make(&self, port: PortId, what: &FlowMatch, _: bool, queue: u16) -> Result<FakeRule, FlowError> {
        let mut live = self.live.borrow_mut();
        if live.len() >= self.room.get() {
            return Err(FlowError { reason: "no room".to_owned(), none: false });
        }
        let key = (port, *what);
        assert_eq!(live.insert(key, queue), None, "devices refuse a rule twice");
        Ok(FakeRule { key, live: Rc::clone(&self.live) })
    }
}

impl Drop for FakeRule {
    fn drop(&mut self) {
        self.live.borrow_mut().remove(&self.key);
    }
}

/// Rules by SPI for ESP, by ports for ESP in UDP.
pub(crate) fn both_kinds() -> RuleForms {
    let form = |pattern| Some(Form { pattern, whole: true });
    RuleForms { native: [form(Pattern::Spi); 2], in_udp: [form(Pattern::Ports); 2] }
}
