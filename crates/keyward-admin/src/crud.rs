//! What is the same for every noun with a name: create, list, show, change, enable, disable, delete.
//!
//! A macro and not a trait, because the use cases of the nouns are types of their own and share no trait either.

use keyward_api::{Described, FieldProblem};
use keyward_control::{ErrorKind, Problem};

use crate::refusal::{CHANGED_MEANWHILE, Refusal};
use crate::request::Asked;

/// Refuses if the request is for another state of the object than the one there is.
pub(crate) fn check_match(asked: &Asked, revision: u64) -> Result<(), Refusal> {
    match asked.must_match() {
        Some(etag) if etag != revision.to_string() => Err(changed_meanwhile(revision)),
        _ => Ok(()),
    }
}

fn changed_meanwhile(revision: u64) -> Refusal {
    let title = format!(
        "the object was changed meanwhile, its ETag is now \"{revision}\"; show it again, then change it"
    );
    Refusal::new(412, CHANGED_MEANWHILE, title)
}

/// The edit that makes a patch so, if the object still is what was seen (where that was asked for).
pub(crate) fn edit<T>(
    seen: Option<T>,
    patch: axum::body::Bytes,
) -> impl FnOnce(&mut T) -> Result<(), Problem> + Send + 'static
where
    T: Described + PartialEq + Send + 'static,
{
    move |spec| {
        if seen.is_some_and(|seen| seen != *spec) {
            let text = "the object was changed meanwhile; show it again, then change it";
            return Err(Problem {
                kind: ErrorKind::Conflict,
                ..Problem::invalid(CHANGED_MEANWHILE, "", text)
            });
        }
        *spec = spec.patched(&patch).map_err(|problems| first(&problems))?;
        Ok(())
    }
}

/// Use cases take one problem from an edit; the others were told when the patch was tried before.
fn first(problems: &[FieldProblem]) -> Problem {
    match problems.first() {
        Some(problem) => Problem::invalid("invalid", problem.path.clone(), problem.message.clone()),
        None => Problem::invalid("invalid", "", "the change cannot be read"),
    }
}

macro_rules! crud {
    ($nouns:ident, $plural:literal, $spec:ty, $show:expr) => {
        crate::crud::crud!(known $nouns, $show);
        crate::crud::crud!(create $nouns, $plural, $spec, $show);
    };
    (create $nouns:ident, $plural:literal, $spec:ty, $show:expr) => {
        pub(crate) async fn create(
            State(admin): State<Admin>,
            asked: Asked,
            Description(spec): Description<$spec>,
        ) -> Result<Response, Refusal> {
            let made = asked.control(&admin).$nouns().create(&asked.actor, spec).await?.shown($show);
            let location = format!("/v1/{}/{}", $plural, made.object.id);
            Ok(made.created(&location))
        }
    };
    (granted $nouns:ident, $plural:literal, $new:ty, $field:ident, $show:expr) => {
        crate::crud::crud!(known $nouns, $show);

        pub(crate) async fn create(
            State(admin): State<Admin>,
            asked: Asked,
            Description(new): Description<$new>,
        ) -> Result<Response, Refusal> {
            let control = asked.control(&admin);
            let made = control.$nouns().create_granted(&asked.actor, new.$field, new.grants).await?;
            let made = made.shown($show);
            let location = format!("/v1/{}/{}", $plural, made.object.id);
            Ok(made.created(&location))
        }
    };
    (known $nouns:ident, $show:expr) => {
        pub(crate) async fn list(State(admin): State<Admin>, asked: Asked) -> Result<Response, Refusal> {
            let filter = crate::listing::filter(&asked)?;
            let revision = admin.control().revision();
            let page = asked.control(&admin).$nouns().list(&asked.actor, filter).await?;
            Ok(crate::answer::page(revision, page, $show))
        }

        crate::crud::crud!(one $nouns, $show);
    };
    (one $nouns:ident, $show:expr) => {
        pub(crate) async fn show(State(admin): State<Admin>, asked: Asked) -> Result<Response, Refusal> {
            let revision = admin.control().revision();
            let view = admin.control().$nouns().get(&asked.actor, asked.object()?).await?;
            Ok(One::read(revision, ($show)(view)).into_response())
        }

        pub(crate) async fn change(
            State(admin): State<Admin>,
            asked: Asked,
            JsonBody(patch): JsonBody,
        ) -> Result<Response, Refusal> {
            let control = asked.control(&admin);
            let nouns = control.$nouns();
            let view = nouns.get(&asked.actor, asked.object()?).await?;
            crate::crud::check_match(&asked, view.revision)?;
            view.spec.patched(&patch).map_err(Refusal::invalid)?;
            let of = keyward_control::ObjectRef::Id(view.id);
            let seen = asked.must_match().is_some().then_some(view.spec);
            let changed = nouns.change(&asked.actor, of, crate::crud::edit(seen, patch)).await?;
            Ok(changed.shown($show).into_response())
        }

        pub(crate) async fn delete(State(admin): State<Admin>, asked: Asked) -> Result<Response, Refusal> {
            let control = asked.control(&admin);
            let nouns = control.$nouns();
            if asked.must_match().is_some() {
                let view = nouns.get(&asked.actor, asked.object()?).await?;
                crate::crud::check_match(&asked, view.revision)?;
            }
            let deleted = nouns.delete(&asked.actor, asked.object()?, asked.flag("dry_run")).await?;
            Ok(crate::answer::deleted(&deleted))
        }
    };
    (switch $nouns:ident, $show:expr) => {
        pub(crate) async fn enable(State(admin): State<Admin>, asked: Asked) -> Result<Response, Refusal> {
            switch(&admin, &asked, true).await
        }

        pub(crate) async fn disable(State(admin): State<Admin>, asked: Asked) -> Result<Response, Refusal> {
            switch(&admin, &asked, false).await
        }

        async fn switch(admin: &Admin, asked: &Asked, enabled: bool) -> Result<Response, Refusal> {
            let control = asked.control(&admin);
            let nouns = control.$nouns();
            if asked.must_match().is_some() {
                let view = nouns.get(&asked.actor, asked.object()?).await?;
                crate::crud::check_match(asked, view.revision)?;
            }
            let switched = nouns.set_enabled(&asked.actor, asked.object()?, enabled).await?;
            Ok(switched.shown($show).into_response())
        }
    };
}

pub(crate) use crud;
