//! Pages of the manual that are made from the code, and must be as the code is.
//! `make docs` (KEYWARD_BLESS=1) writes them anew.

use std::path::PathBuf;

use keyward_model::{BuiltIn, DenyReason, Need, Shape};

fn is_fresh(page: &str, expected: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").join(page);
    if std::env::var_os("KEYWARD_BLESS").is_some() {
        std::fs::write(&path, expected).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == expected, "{page} is not what the code says; run `make docs` and commit it");
}

#[test]
fn the_page_of_reasons_is_fresh() {
    let mut page = String::from(
        "# Why a request was refused\n\n\
         <!-- Made from crates/keyward-model/src/reason.rs by `make docs`. -->\n\n\
         Every refusal has exactly one reason. They are listed in the order in which they are checked: the first that applies is told.\n\
         The status follows from the reason alone. A late answer of a service is 504 rather than 502.\n\n\
         From the outside `credential_unknown` and `proof_mismatch` look alike; the access log tells them apart.\n\n\
         | # | reason | status | meaning | what to do |\n| --- | --- | --- | --- | --- |\n",
    );
    for (index, reason) in DenyReason::ALL.iter().enumerate() {
        page.push_str(&format!(
            "| {} | `{reason}` | {} | {} | {} |\n",
            index + 1,
            reason.status(),
            reason.meaning().trim(),
            reason.advice()
        ));
    }
    is_fresh("docs/reasons.md", &page);
}

/// What a value may be, in a cell of a table.
fn bounds(shape: &Shape) -> String {
    let number = |number: i64| number.to_string();
    match shape {
        Shape::Text { format, .. } if !format.pattern.is_empty() => format.what.replace('|', "\\|"),
        Shape::Text { least: 0, most, .. } => format!("at most {most} characters"),
        Shape::Text { least, most, .. } => format!("{least} to {most} characters"),
        Shape::Secret { most } => {
            format!("**secret**: the text, or `$ref{{name}}`; at most {most} characters")
        }
        Shape::Whole { least, most } => format!("{} to {}", number(*least), number(*most)),
        Shape::Flag => "`true`, `false`".to_owned(),
        Shape::OneOf(texts) => texts.iter().map(|text| format!("`{text}`")).collect::<Vec<_>>().join(", "),
        Shape::List { of, least, most } => format!("a list of {least} to {most}: {}", bounds(of)),
        Shape::Object(_) => "see below".to_owned(),
        Shape::Map { of, names, most } => {
            format!("a mapping of at most {most}, by {}: {}", names.what, bounds(of))
        }
        Shape::Either(shapes) => shapes.iter().map(bounds).collect::<Vec<_>>().join("; or "),
        Shape::Any => "any JSON".to_owned(),
        Shape::Schema => "a JSON Schema (draft 2020-12)".to_owned(),
    }
}

/// The tables of an object and of those within it.
fn tables(path: &str, shape: &Shape, page: &mut String) {
    let members = match shape {
        Shape::Object(members) => *members,
        Shape::List { of, .. } => return tables(&format!("{path}[]"), of, page),
        Shape::Map { of, .. } => return tables(&format!("{path}.*"), of, page),
        Shape::Either(shapes) => return shapes.iter().for_each(|shape| tables(path, shape, page)),
        _ => return,
    };
    if !path.is_empty() {
        page.push_str(&format!("\nOf `{path}`:\n"));
    }
    page.push_str("\n| field | meaning | default | bounds |\n| --- | --- | --- | --- |\n");
    for member in members {
        let default = match member.need {
            Need::Required => "required".to_owned(),
            Need::Optional => "absent".to_owned(),
            Need::Default(text) => format!("`{text}`"),
        };
        page.push_str(&format!(
            "| `{}` | {} | {default} | {} |\n",
            member.name,
            member.help,
            bounds(&member.shape)
        ));
    }
    for member in members {
        let path = if path.is_empty() { member.name.to_owned() } else { format!("{path}.{}", member.name) };
        tables(&path, &member.shape, page);
    }
}

#[test]
fn the_page_of_built_in_plugins_is_fresh() {
    let mut page = String::from(
        "# Built-in plugins\n\n\
         <!-- Made from crates/keyward-model/src/plugin/ by `make docs`. -->\n\n\
         What each [plugin](nouns/plugins.md) does, and what its `config` may say. `keyward plugin kinds NAME` prints the same as a JSON Schema. \
         They are listed in the order in which they act: first those that authenticate, then those that remember nonces, then limits, then the \
         others that look at requests and answers, and last those that sign what goes to the service.\n",
    );
    for kind in BuiltIn::ALL {
        page.push_str(&format!("\n## {}\n\n{}\n", kind.as_str(), kind.help()));
        tables("", kind.shape(), &mut page);
    }
    is_fresh("docs/plugins.md", &page);
}

#[test]
fn the_contract_is_fresh() {
    is_fresh("spec/openapi.json", &format!("{:#}\n", keyward_api::openapi()));
}

#[test]
fn the_page_of_problems_is_fresh() {
    let mut page = String::from(
        "# Problems of the admin API\n\n\
         <!-- Made from crates/keyward-api/src/codes.rs by `make docs`. -->\n\n\
         Every refusal is `application/problem+json` (RFC 9457). Its `code` is stable; `problems` names every part of the request \
         that is wrong.\n\n| code | meaning |\n| --- | --- |\n",
    );
    for known in keyward_api::Code::ALL {
        page.push_str(&format!("| `{}` | {} |\n", known.code, known.meaning));
    }
    is_fresh("docs/problems.md", &page);
}

/// The codes that a source names where it makes a problem.
fn codes(source: &str) -> impl Iterator<Item = &str> {
    const MAKERS: [&str; 6] =
        [".invalid(", ".problem(", "Problem::invalid(", "Problem::new(", "Error::new(", "Refusal::new("];
    let source = source.split("#[cfg(test)]").next().unwrap_or_default();
    let calls = MAKERS.into_iter().chain(["Self::new(ErrorKind", "ErrorKind::"]);
    let after = calls.flat_map(move |maker| source.split(maker).skip(1));
    after.filter_map(|rest| {
        let (before, rest) = rest.split_once('"')?;
        let plain = before.chars().all(|c| c.is_alphanumeric() || c.is_whitespace() || "_:,".contains(c));
        let (code, _) = rest.split_once('"')?;
        let is_code = code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        (plain && is_code && !code.is_empty()).then_some(code)
    })
}

#[test]
fn every_code_of_a_problem_is_in_the_list_and_every_listed_one_is_somewhere() {
    let crates = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut folders: Vec<PathBuf> = ["keyward-control/src", "keyward-admin/src", "keyward-store/src"]
        .iter()
        .map(|path| crates.join(path))
        .collect();
    let (mut sources, mut found) = (String::new(), std::collections::BTreeSet::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let source = std::fs::read_to_string(&path).unwrap();
                found.extend(codes(&source).map(str::to_owned));
                sources.push_str(&source);
            }
        }
    }
    let listed: std::collections::BTreeSet<String> =
        keyward_api::Code::ALL.iter().map(|known| known.code.to_owned()).collect();
    let unlisted: Vec<_> = found.difference(&listed).collect();
    assert!(unlisted.is_empty(), "not in crates/keyward-api/src/codes.rs: {unlisted:?}");
    assert!(found.len() > 50, "{found:?}");
    let unused: Vec<_> = listed.iter().filter(|code| !sources.contains(&format!("\"{code}\""))).collect();
    assert!(unused.is_empty(), "no source has these codes: {unused:?}");
}

#[test]
fn the_page_of_the_command_line_is_fresh() {
    is_fresh("docs/cli.md", &keyward::cli::reference());
}

#[test]
fn the_table_of_roles_is_fresh() {
    use keyward_model::{Role, permission};

    let mut rows: Vec<(&str, &str, String)> = keyward_api::Route::ALL
        .iter()
        .filter(|route| route.about().access == keyward_api::Access::Operator)
        .map(|route| {
            let permission = permission(route.noun(), route.action());
            let marks = Role::ALL.map(|role| if permission.roles.contains(&role) { "x" } else { "." });
            let place = if permission.everywhere { "everywhere" } else { "account" };
            (route.noun(), route.action().as_str(), format!("{}  {place}", marks.join("         ")))
        })
        .collect();
    rows.sort();
    rows.dedup();
    let mut table = String::from(
        "# Which role may do what, and whether the role must be held everywhere.\n\
         # Made from crates/keyward-model/src/action.rs and the route table by `make docs`.\n\
         # Sessions and operator tokens are one's own; of others they are the owners' to manage.\n\n",
    );
    table.push_str(&format!(
        "{:<16} {:<10} {}\n",
        "noun", "action", "owner     admin     developer auditor   viewer"
    ));
    for (noun, action, marks) in rows {
        table.push_str(&format!("{noun:<16} {action:<10} {marks}\n"));
    }
    is_fresh("spec/admin-roles.txt", &table);
}
