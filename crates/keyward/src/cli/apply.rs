//! `keyward apply`.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::Args;
use keyward_api::{Applied, Call, ClientError, FieldProblem, Mention, Route, WorldFile, write_json};

use super::fields::read_bytes;
use super::nouns::{minted, once, warn};
use super::output::show;
use super::remote::{Remote, failure};
use super::{Failure, Outcome};

/// Make what a world file names so, in one transaction.
///
/// Applying twice changes nothing. If anything in the file is wrong, nothing is changed, and everything that is wrong is
/// listed with its line and column. `${NAME}` in the file is taken from this command's environment.
#[derive(Debug, Args)]
pub(crate) struct Apply {
    /// The world file (`-` for standard input).
    #[arg(long, short, value_name = "FILE")]
    file: PathBuf,
    /// Only say what would happen.
    #[arg(long)]
    dry_run: bool,
    /// Remove what the file does not name, among the nouns and accounts that it does name.
    #[arg(long)]
    prune: bool,
    /// Not supported by this version.
    #[arg(long, hide = true, value_name = "FILE")]
    identity: Option<PathBuf>,
    #[command(flatten)]
    remote: Remote,
}

impl Apply {
    pub(crate) async fn run(self) -> Outcome {
        if self.identity.is_some() {
            return Err(Failure::usage("`--identity` is not supported by this version; leave it out"));
        }
        let bytes = read_bytes(&self.file)?;
        let wrong = |problems: Vec<FieldProblem>| Failure::usage(listed(&self.file, &problems));
        let text = WorldFile::text(&bytes).map_err(|problem| wrong(vec![problem]))?;
        let mut read = WorldFile::parse(text, &|name| std::env::var(name).ok()).map_err(wrong)?;
        read.read_files(&|name| file_beside(&self.file, name)).map_err(wrong)?;
        let body = write_json(&read.world).map_err(Failure::new)?.into_bytes();
        let call = Call::new(Route::Apply, [])
            .query("dry_run", self.dry_run.then_some(true))
            .query("prune", self.prune.then_some(true))
            .json(body);
        let applied: Applied = match self.remote.client()?.send(call).await {
            Ok(applied) => applied,
            // The node knows paths; where they stand in the file is known here.
            Err(ClientError::Refused(problem)) if problem.problems.iter().any(|p| !p.path.is_empty()) => {
                return Err(wrong(problem.problems.iter().map(|problem| read.locate(problem)).collect()));
            }
            Err(error) => return Err(failure(error)),
        };
        warn(&applied.warnings);
        show(self.remote.output, &applied, summary)?;
        once(&self.remote, &applied.minted);
        Ok(())
    }
}

/// What a file holds that a world file names: where it stands, seen from the world file.
pub(crate) fn file_beside(world: &Path, name: &str) -> Result<Vec<u8>, String> {
    let path = world.parent().unwrap_or(Path::new("")).join(name);
    // More than a module may have is not read.
    let most = keyward_model::ModuleCode::LENGTH_MAX as u64 + 1;
    let read = || {
        let mut bytes = Vec::new();
        std::fs::File::open(&path)?.take(most).read_to_end(&mut bytes)?;
        Ok::<_, std::io::Error>(bytes)
    };
    read().map_err(|error| format!("`{}` cannot be read: {error}", path.display()))
}

/// `FILE:LINE:COLUMN: PATH: MESSAGE`, one a line.
fn listed(file: &Path, problems: &[FieldProblem]) -> String {
    let name = if file == Path::new("-") { "standard input".into() } else { file.display().to_string() };
    let line = |problem: &FieldProblem| {
        let blank = if problem.line > 0 { "" } else { " " };
        format!("{name}:{blank}{problem}")
    };
    let mut lines: Vec<String> = problems.iter().map(line).collect();
    lines.push("nothing was changed".to_owned());
    lines.join("\n")
}

fn summary(applied: &Applied) -> String {
    let mut text = String::new();
    let verbs = if applied.dry_run {
        ["would create", "would change", "would leave", "would remove"]
    } else {
        ["created", "changed", "unchanged", "removed"]
    };
    let lists = [&applied.created, &applied.changed, &applied.unchanged, &applied.removed];
    for (verb, list) in verbs.iter().zip(lists) {
        for mention in list {
            text.push_str(&line(verb, mention));
        }
    }
    let counts: Vec<String> =
        verbs.iter().zip(lists).map(|(verb, list)| format!("{verb} {}", list.len())).collect();
    text.push_str(&format!("{} (revision {})\n", counts.join(", "), applied.revision));
    if !applied.minted.is_empty() {
        text.push('\n');
        text.push_str(&minted(&applied.minted));
        text.push('\n');
    }
    text
}

fn line(verb: &str, mention: &Mention) -> String {
    match &mention.account {
        Some(account) => format!("{verb:<12} {} {account}/{}\n", mention.noun, mention.name),
        None => format!("{verb:<12} {} {}\n", mention.noun, mention.name),
    }
}
