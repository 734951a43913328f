//! Single objects: each change is one of the document in force, which then goes the way of every document.

use std::sync::Arc;

use api::server::{Author, Change, Edit, Objects, Precondition, Reply};
use api::{CommitReport, ConfigObject, ConfigProblem, EditTerms, ObjectKind, Problem, Severity};
use gateway::edit::{self, Kind, Object};
use store::Store;
use zeroize::Zeroizing;

use super::{Prepared, Terms, Transactions, answer, prepare, unchanged};
use crate::engine::Engine;

/// When a busy object may be asked for again.
const BUSY: std::time::Duration = std::time::Duration::from_secs(1);

impl Transactions {
    pub(super) fn objects(
        &self,
        kind: ObjectKind,
        name: Option<&str>,
        engine: &Engine,
    ) -> Result<Objects, Problem> {
        let mut objects = edit::list(engine.document().text.expose(), model(kind));
        objects.retain(|object| name.is_none_or(|name| edit::name(object) == name));
        let revision = self.current().map(|entry| entry.number);
        Ok(Objects { revision, objects: objects.into_iter().map(ConfigObject).collect() })
    }

    pub(super) fn edit(
        &mut self,
        edit: Edit,
        Author(author): Author,
        reply: Reply<CommitReport>,
        engine: &Engine,
    ) {
        let EditTerms { dry_run, comment, confirm_secs } = edit.terms.clone();
        // To do it again does no more: its idempotency key need not outlive the process.
        let terms = Terms { author, comment, confirm_secs, dry_run, token: None };
        match self.edited(&edit, &terms, engine) {
            Ok(Edited::Stored(store, prepared)) => self.put_into_force(store, *prepared, &terms, reply),
            Ok(Edited::Nothing(report)) => answer(reply, Ok(report)),
            Err(problem) => answer(reply, Err(problem)),
        }
    }

    /// The document with the object as it shall be.
    fn edited(&self, edit: &Edit, terms: &Terms, engine: &Engine) -> Result<Edited, Problem> {
        let store = self.store(engine)?;
        let (kind, in_force) = (model(edit.kind), engine.document().text.expose());
        let before = edit::list(in_force, kind).into_iter().find(|object| edit::name(object) == edit.name);
        self.meets(edit.precondition, before.is_some(), edit)?;
        self.is_not_busy(kind, &edit.name, engine)?;
        let text = changed_text(edit, before, engine)?;
        if *text == *in_force {
            let revision = self.current().map(|entry| entry.number);
            let state = Some(engine.state_of_configuration());
            return Ok(Edited::Nothing(CommitReport { revision, state, ..unchanged() }));
        }
        let object = format!("{} {}", kind.table(), edit.name);
        let place = edit::place(&text, kind, &edit.name);
        let mut prepared =
            prepare(terms.draft(text, engine), &object, engine).map_err(|refused| match refused {
                Ok(report) => invalid(report.problems, place.as_deref()),
                Err(problem) => problem,
            })?;
        keeps_what_it_must(&edit.name, &prepared, engine)?;
        prepared.report.problems.retain_mut(|problem| is_within(problem, place.as_deref()));
        Ok(Edited::Stored(store, Box::new(prepared)))
    }

    fn meets(&self, wanted: Precondition, exists: bool, edit: &Edit) -> Result<(), Problem> {
        let failed =
            |code, detail: String| Problem::new(412, code, "It is not as the request assumes", detail);
        let (kind, name) = (model(edit.kind).table(), &edit.name);
        match wanted.exists {
            Some(true) if !exists => {
                return Err(failed("NotThere", format!("there is no {kind} {name}")));
            }
            Some(false) if exists => {
                let problem = failed("AlreadyThere", format!("there is a {kind} {name} already"));
                return Err(problem.fix("choose another name, or change the object that is there"));
            }
            _ => {}
        }
        let current = self.current().map(|entry| entry.number);
        match wanted.revision {
            Some(wanted) if Some(wanted) != current => {
                let detail = format!("revision {wanted} is not in force any more");
                let problem = failed("RevisionChanged", detail);
                Err(problem.fix("read the object again, and change what is there now"))
            }
            _ => Ok(()),
        }
    }

    /// An object that the last change touched is busy until the data plane has that.
    fn is_not_busy(&self, kind: Kind, name: &str, engine: &Engine) -> Result<(), Problem> {
        let touched = |change: &api::ConfigChange| change.kind == kind.table() && change.name == name;
        if engine.is_configuring() && self.touched.iter().any(touched) {
            let detail = format!("{} {name} is updating: the data plane takes the last change", kind.table());
            let problem = Problem::new(409, "ResourceBusy", "The object is updating", detail);
            return Err(problem.fix("ask again once its state is active").retry_after(BUSY));
        }
        Ok(())
    }
}

/// What a change comes to.
enum Edited {
    Stored(Arc<Store>, Box<Prepared>),
    /// All is as it should be.
    Nothing(CommitReport),
}

fn model(kind: ObjectKind) -> Kind {
    match kind {
        ObjectKind::VpnGateways => Kind::VpnGateway,
        ObjectKind::CustomerGateways => Kind::CustomerGateway,
        ObjectKind::Connections => Kind::Connection,
    }
}

/// The text of the document after the change.
fn changed_text(edit: &Edit, before: Option<Object>, engine: &Engine) -> Result<Zeroizing<String>, Problem> {
    let (kind, in_force) = (model(edit.kind), engine.document().text.expose());
    let missing = || Problem::not_found(format!("there is no {} {}", kind.table(), edit.name));
    let object = match &edit.change {
        Change::Delete => {
            let users = edit::users(&engine.document().desired, kind, &edit.name);
            if !users.is_empty() {
                let detail = format!("{} {} is used by {}", kind.table(), edit.name, users.join(", "));
                let problem = Problem::new(409, "InUse", "The object is in use", detail);
                return Err(problem.fix("delete those first, or change them"));
            }
            return edit::remove(in_force, kind, &edit.name).ok_or_else(missing);
        }
        Change::Put(ConfigObject(object)) => object.clone(),
        Change::Patch(ConfigObject(patch)) => {
            edit::patched(before.ok_or_else(missing)?, edit::named_patch(kind, patch.clone()))
        }
    };
    let object = edit::named(kind, object)
        .map_err(|why| Problem::new(422, "Malformed", "The object cannot be read", why))?;
    let object = with_name(object, &edit.name)?;
    edit::put(in_force, kind, &object).ok_or_else(|| {
        Problem::new(500, "Internal", "Internal error", "the document in force cannot be read again")
    })
}

/// An object is called what its path says.
fn with_name(mut object: Object, name: &str) -> Result<Object, Problem> {
    match object.get("name") {
        None => drop(object.insert("name".to_owned(), name.into())),
        Some(given) if given == name => {}
        Some(given) => {
            let detail = format!("the path says {name} and the object {given}");
            let problem = Problem::new(422, "NameImmutable", "The name cannot change", detail);
            return Err(problem.fix("create an object of the new name, and delete this one"));
        }
    }
    Ok(object)
}

/// Names the field of a problem within the object that stands at `place`; false if it is not there.
fn is_within(problem: &mut ConfigProblem, place: Option<&str>) -> bool {
    let rest = place.and_then(|place| problem.path.strip_prefix(place));
    match rest.filter(|rest| rest.is_empty() || rest.starts_with('.')) {
        Some(rest) => {
            problem.path = rest.trim_start_matches('.').to_owned();
            true
        }
        None => false,
    }
}

/// The first error with all others, those of the object by its fields.
fn invalid(mut problems: Vec<ConfigProblem>, place: Option<&str>) -> Problem {
    for problem in &mut problems {
        is_within(problem, place);
    }
    let first = problems.iter().find(|problem| problem.severity == Severity::Error);
    let (code, detail) = first.map_or(("Invalid", String::new()), |first| {
        let allowed = first.allowed.as_ref().map(|allowed| format!("; allowed: {allowed}"));
        (&*first.code, format!("{}: {}{}", first.path, first.message, allowed.unwrap_or_default()))
    });
    let mut problem = Problem::new(422, code, "The configuration is not valid", detail);
    problem.fix = first.and_then(|first| first.fix.clone());
    problem.problems = problems.into();
    problem
}

/// Refuses to make another connection of the one of that name.
fn keeps_what_it_must(name: &str, prepared: &Prepared, engine: &Engine) -> Result<(), Problem> {
    let find = |desired: &gateway::Desired| desired.connections.iter().find(|c| c.name == name).cloned();
    let both = find(&engine.document().desired).zip(find(&prepared.document.desired));
    let Some(found) = both.and_then(|(old, new)| edit::immutable(&old, &new)) else { return Ok(()) };
    let detail = format!("{}: {}", found.path, found.message);
    let problem = Problem::new(409, found.code, "This stays as long as the connection does", detail);
    Err(problem.fix("delete the connection and create it anew, or create another one beside it"))
}
