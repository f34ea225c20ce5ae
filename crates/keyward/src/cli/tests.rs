use clap::{CommandFactory as _, Parser as _};

use super::Cli;

fn parses(line: &str) -> bool {
    Cli::try_parse_from(line.split_whitespace()).is_ok()
}

#[test]
fn the_definition_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn the_commands_of_the_contract_are_understood() {
    for line in [
        "keyward serve --data d --listen 127.0.0.1:0 --admin 127.0.0.1:0 --gateway edge --access-log - --apply a.yaml --apply b.yaml",
        "keyward serve --store postgres://h/d --workers 2 --no-local-token --master-key k --demo",
        "keyward apply -f world.yaml --dry-run --prune --admin http://127.0.0.1:9080",
        "keyward export --output yaml",
        "keyward explain --api orders --stage TEST --operation x --application shop --account a --gateway g --at 2026-01-01T00:00:00Z --output json",
        "keyward explain --api orders --consumer c",
        "keyward explain --api orders --app-key k",
        "keyward who-can --api orders",
        "keyward sign --app shop http://127.0.0.1:8080/orders",
        "keyward sign --app-key k --app-secret s --scheme tencent -X PUT -H A:b -d x http://127.0.0.1:8080/orders",
        "keyward sign --application shop POST http://127.0.0.1:8080/orders -d {}",
        "keyward completion bash",
    ] {
        assert!(parses(line), "{line}: {}", Cli::try_parse_from(line.split_whitespace()).unwrap_err());
    }
}

#[test]
fn a_provider_is_named_as_a_whole_and_safely() {
    let serve = |rest: &str| parses(&format!("keyward serve {rest}"));
    let whole =
        "--oidc-issuer https://idp.example/r --oidc-client-id keyward --admin-url https://keyward.example";
    assert!(
        serve(whole)
            && serve(&format!("{whole} --oidc-client-secret-file f"))
            && serve("--admin-url https://k.example")
    );
    for part in [
        "--oidc-issuer https://idp.example/r",
        "--oidc-issuer https://idp.example/r --oidc-client-id keyward",
        "--oidc-issuer https://idp.example/r --admin-url https://keyward.example",
        "--oidc-client-id keyward",
        "--oidc-client-secret-file f",
    ] {
        assert!(!serve(part), "{part}");
    }
    assert!(!serve(&whole.replace("https://idp", "http://idp")), "what is not encrypted can be read");
    assert!(!serve(&whole.replace("https://keyward", "http://keyward")));
    assert!(!serve(&format!("{whole} --oidc-client-secret s")), "other users can read arguments");
}

#[test]
fn every_noun_has_its_verbs() {
    for noun in ["app", "application", "consumer", "api", "service", "group", "account", "gateway"] {
        for rest in ["list", "show x", "create x", "change x --description y", "delete x --dry-run"] {
            assert!(parses(&format!("keyward {noun} {rest}")), "{noun} {rest}");
        }
        let switches = noun != "gateway";
        assert_eq!(parses(&format!("keyward {noun} enable x")), switches, "{noun}");
        assert_eq!(parses(&format!("keyward {noun} disable x")), switches, "{noun}");
    }
    for rest in [
        "app reset x",
        "app key-pair add x --scheme tencent",
        "app key-pair list x",
        "app app-code add x",
        "consumer reset x",
        "consumer api-key add x",
        "consumer jwt show x",
        "consumer jwt set x --jwt",
        "api publish x TEST --service s",
        "api unpublish x TEST",
        "group add-member x app:y",
        "group remove-member x consumer:y",
        "grant list --api x",
        "grant create --to app:shop --api orders --stage RELEASE,TEST",
        "grant change grt_1 --valid-until 2027-01-01T00:00:00Z",
        "grant revoke grt_1",
        "grant delete grt_1",
        "grant renounce grt_1 --consumer c --account a",
        "credential show crd_1",
        "credential reset crd_1",
        "credential reveal crd_1",
    ] {
        assert!(parses(&format!("keyward {rest}")), "{rest}");
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    for line in [
        "keyward",
        "keyward serve --listen nowhere",
        "keyward serve --workers 0",
        "keyward apply",
        "keyward explain --application a",
        "keyward explain --api a --application b --consumer c",
        "keyward sign http://127.0.0.1/",
        "keyward sign --app a -X GET POST http://127.0.0.1/",
        "keyward app list --tag team",
        "keyward grant renounce grt_1",
        "keyward sign --app a --app-secret s http://127.0.0.1/",
        "keyward grant create --to shop --api orders",
        "keyward group add-member x y",
        "keyward app list --output xml",
    ] {
        assert!(!parses(line), "{line}");
    }
}

/// The words of a line as a shell splits them, up to where its output goes elsewhere.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for (place, part) in line.split('\'').enumerate() {
        let pieces: Vec<&str> = if place % 2 == 1 { vec![part] } else { part.split(' ').collect() };
        for (place, piece) in pieces.into_iter().enumerate() {
            if place > 0 {
                words.push(String::new());
            }
            words.last_mut().unwrap().push_str(piece);
        }
    }
    words.into_iter().take_while(|word| !["|", ">"].contains(&word.as_str())).collect()
}

/// Every command that this one holds, and itself.
fn all(command: &clap::Command) -> Vec<clap::Command> {
    let inner = command.get_subcommands().flat_map(all);
    std::iter::once(command.clone()).chain(inner).collect()
}

#[test]
fn every_example_of_the_help_is_understood() {
    let mut examples = 0;
    for command in all(&Cli::command()) {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        for line in help.lines().filter(|line| line.starts_with("  keyward ")) {
            let words = words(line.trim());
            assert!(
                Cli::try_parse_from(&words).is_ok(),
                "{line}: {}",
                Cli::try_parse_from(&words).unwrap_err()
            );
            assert!(words.contains(&command.get_name().to_owned()), "{line} is no example of {command}");
            examples += 1;
        }
    }
    assert!(examples > 30, "{examples}");
}

/// Pages that show commands, and the README.
fn pages() -> Vec<(std::path::PathBuf, String)> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let docs = std::fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let pages = docs.chain([root.join("README.md")]);
    let pages = pages.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    pages.map(|path| (path.clone(), std::fs::read_to_string(path).unwrap())).collect()
}

#[test]
fn every_command_in_the_manual_is_understood() {
    use clap::error::ErrorKind as E;
    let mut commands = 0;
    for (page, text) in pages() {
        let lines = text.lines().map(|line| line.split(" #").next().unwrap_or_default().trim());
        let in_blocks = lines.filter(|line| line.starts_with("keyward ") || line.starts_with("target/"));
        let in_text = text.split('`').filter(|part| part.starts_with("keyward ") && !part.contains('\n'));
        for command in in_blocks.chain(in_text) {
            let words: Vec<String> = words(command).into_iter().filter(|word| !word.is_empty()).collect();
            let upper = |word: &String| word.bytes().all(|byte| byte.is_ascii_uppercase());
            let is_pattern = words.iter().any(|word| word.contains(['[', '<', '…', '$']))
                || words.get(1).is_some_and(upper);
            let error = Cli::try_parse_from(&words).err().filter(|_| !is_pattern);
            // In running text a command may be named without all that it needs.
            let kind = error.as_ref().map(clap::Error::kind);
            let named = matches!(
                kind,
                Some(
                    E::MissingRequiredArgument | E::DisplayHelp | E::DisplayHelpOnMissingArgumentOrSubcommand
                )
            );
            assert!(error.is_none() || named, "{}: `{command}`: {error:?}", page.display());
            commands += 1;
        }
    }
    assert!(commands > 60, "{commands}");
}

#[test]
fn every_variable_that_an_option_reads_is_named_in_the_help() {
    let mut root = Cli::command();
    let help = root.render_long_help().to_string();
    let arguments: Vec<clap::Arg> = all(&root).iter().flat_map(|c| c.get_arguments().cloned()).collect();
    let read: std::collections::BTreeSet<String> = arguments
        .iter()
        .filter_map(|arg| arg.get_env())
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    assert!(read.len() >= 3, "{read:?}");
    for name in read {
        assert!(help.contains(&format!("  {name} ")), "{name}");
    }
}

#[test]
fn no_secret_is_a_default_of_the_help() {
    let page = super::reference();
    assert!(page.contains("keyward grant revoke"));
    assert!(!page.contains("KEYWARD_APP_SECRET="), "the value of a secret variable is not shown");
}
