//! `rumplab completions` and `rumplab man`.

use clap::{Command, CommandFactory};
use clap_mangen::Man;

use super::args::{Args, CompletionsArgs, ManArgs};
use super::{Status, Wrong, terminal};
use crate::suggest::nearest;

/// Prints what a shell needs to complete words.
pub(super) fn completions(args: &CompletionsArgs) -> Status {
    let mut script = Vec::new();
    let mut command = Args::command();
    clap_complete::generate(args.shell, &mut command, "rumplab", &mut script);
    terminal::raw(&String::from_utf8_lossy(&script));
    Status::Nothing
}

/// Prints a manual page.
pub(super) fn man(args: &ManArgs) -> Result<Status, Wrong> {
    let mut rumplab = Args::command();
    rumplab.build();
    let command = match &args.command {
        None => rumplab,
        Some(name) => page_of(&rumplab, name)?,
    };
    let title = command.get_display_name().unwrap_or("rumplab").to_owned();
    let mut page = Vec::new();
    Man::new(command)
        .title(title)
        .render(&mut page)
        .map_err(|error| Wrong(format!("the manual page cannot be made: {error}")))?;
    terminal::raw(&String::from_utf8_lossy(&page));
    Ok(Status::Nothing)
}

/// A command as one that has a page of its own.
fn page_of(rumplab: &Command, name: &str) -> Result<Command, Wrong> {
    let Some(found) = rumplab.find_subcommand(name) else {
        let names = rumplab.get_subcommands().map(Command::get_name);
        let help = nearest(name, names).help();
        return Err(Wrong(format!(
            "rumplab has no command `{name}`\n  help: {help}"
        )));
    };
    Ok(found.clone())
}
