//! The command line as a person has it, with both daemons and a tunnel behind it.

use crate::Scenario;
use crate::scene::{Initiator, Scene, With, waiting_site};
use anyhow::{Result, ensure};
use esplanade::lab::{Lab, SiteOptions};
use std::time::Duration;

const COLUMNS: u16 = 120;
/// For the SAs of what was deleted.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![Scenario::new("terminal/top-and-delete".to_owned(), top_and_delete).chosen()]
}

/// `top` shows the tunnel and its traffic; a connection is deleted once that is meant, and its SAs with it.
fn top_and_delete(lab: &Lab) -> Result<String> {
    let ours = SiteOptions { store: true, ..waiting_site(1) };
    let scene = Scene::set(lab, &ours, &With::Esplanade(Box::new(waiting_site(2))))?;
    scene.establish(Initiator::Us)?;
    let gateway = &scene.site.gateway;
    let mut top = gateway.terminal(COLUMNS, &["top", "--interval", "0.5"])?;
    scene.ping(20)?;
    top.draws(&["1/1 tunnels up", "site/1", "WORKER"])?;
    top.press("q")?;
    ensure!(top.finish()?.0 == Some(0) && top.is_as_before()?, "top left the terminal in another state");
    for (answer, exit) in [("n\r", 1), ("y\r", 0)] {
        scene.ping(5)?;
        let mut delete = gateway.terminal(COLUMNS, &["connection", "delete", "site"])?;
        delete.writes("this deletes connection site; go on? [y/N] ")?;
        delete.press(answer)?;
        let (status, text) = delete.finish()?;
        ensure!(status == Some(exit), "{answer:?}: {status:?} {text}");
    }
    lab.wait_for("the SAs to be gone", PATIENCE, || Ok(gateway.sas()?.is_empty().then_some(())))?;
    scene.finish()?;
    Ok("drawn, asked, deleted".into())
}
