//! Lists: one statement put together from literal parts, so that an index serves every page alike.

use keyward_model::AccountId;
use sqlx::AssertSqlSafe;

use crate::reads::Statement;

/// A page of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListPage {
    /// Where the page before ended; absent: from the start.
    pub after: Option<After>,
    /// Most rows.
    pub limit: u32,
    /// In which order.
    pub order: Order,
}

/// Where a page ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct After {
    /// The last row's name; looked at only when sorting by name.
    pub name: String,
    /// The last row's id.
    pub id: String,
}

impl ListPage {
    /// The first rows, oldest first.
    pub fn first(limit: u32) -> Self {
        Self { after: None, limit, order: Order::default() }
    }

    /// Turns to the page after the row with this id; without one, back to the start.
    pub fn turn_to(&mut self, last: Option<impl ToString>) {
        self.after = last.map(|id| After { name: String::new(), id: id.to_string() });
    }
}

/// The order of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Order {
    /// By name (then age) rather than by age alone.
    pub by_name: bool,
    /// The last first.
    pub descending: bool,
}

/// Whose objects a list has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Within {
    /// Everybody's.
    #[default]
    All,
    /// These accounts'.
    Accounts(Vec<AccountId>),
}

impl From<AccountId> for Within {
    fn from(account: AccountId) -> Self {
        Self::Accounts(vec![account])
    }
}

impl From<Option<AccountId>> for Within {
    fn from(account: Option<AccountId>) -> Self {
        account.map_or(Self::All, Self::from)
    }
}

/// Which objects of a noun a list has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectsOf {
    /// Only these accounts'.
    pub within: Within,
    /// Only those whose name has this in it.
    pub name: Option<String>,
    /// Only enabled, or only disabled ones.
    pub enabled: Option<bool>,
}

impl ObjectsOf {
    /// Every one of these accounts.
    pub fn within(within: impl Into<Within>) -> Self {
        Self { within: within.into(), ..Self::default() }
    }
}

/// A value to be bound.
pub(crate) enum Value {
    Text(String),
    Number(i64),
}

/// A `SELECT` in the making. Its text has nothing in it that comes from outside.
pub(crate) struct Listing {
    select: &'static str,
    conditions: Vec<String>,
    /// Of these at least one holds, if there are any. Each is one that an index serves in the order of the list.
    sides: Vec<String>,
    values: Vec<Value>,
}

impl Listing {
    pub(crate) fn new(select: &'static str) -> Self {
        Self { select, conditions: Vec::new(), sides: Vec::new(), values: Vec::new() }
    }

    /// Only rows for which this condition holds, in which every `?` stands for the value, if there is one.
    pub(crate) fn only(mut self, condition: &'static str, value: Option<Value>) -> Self {
        let Some(value) = value else { return self };
        let place = self.place(value);
        self.conditions.push(condition.replace('?', &place));
        self
    }

    pub(crate) fn text(self, condition: &'static str, value: Option<impl ToString>) -> Self {
        self.only(condition, value.map(|value| Value::Text(value.to_string())))
    }

    /// Only rows where this column is so. It stands in the text, so that an index of such rows alone can serve it.
    pub(crate) fn flag(mut self, column: &'static str, value: Option<bool>) -> Self {
        if let Some(value) = value {
            self.conditions.push(format!("{column} = {}", u8::from(value)));
        }
        self
    }

    /// Only rows whose name has this in it, in any case.
    pub(crate) fn name_has(mut self, column: &'static str, part: Option<&str>) -> Self {
        let Some(part) = part.filter(|part| !part.is_empty()) else { return self };
        let place = self.place(Value::Text(contains_pattern(part)));
        self.conditions.push(format!("lower({column}) LIKE {place} ESCAPE '\\'"));
        self
    }

    /// Only rows for which this holds, whatever is asked.
    pub(crate) fn fixed(mut self, condition: &'static str) -> Self {
        self.conditions.push(condition.to_owned());
        self
    }

    /// Only rows after the one with these values in these columns, which are the order of the list.
    pub(crate) fn beyond(mut self, columns: &'static str, values: Vec<Value>) -> Self {
        let places: Vec<String> = values.into_iter().map(|value| self.place(value)).collect();
        self.conditions.push(format!("({columns}) > ({})", places.join(", ")));
        self
    }

    /// Only rows of these accounts.
    pub(crate) fn within(self, column: &'static str, within: &Within) -> Self {
        self.beside(&[column], within)
    }

    /// Only rows in one of whose columns one of these accounts stands.
    pub(crate) fn beside(mut self, columns: &[&'static str], within: &Within) -> Self {
        let Within::Accounts(accounts) = within else { return self };
        if accounts.is_empty() {
            // No row is of no account.
            self.conditions.push("1 = 0".to_owned());
        }
        for account in accounts {
            let place = self.place(Value::Text(account.to_string()));
            self.sides.extend(columns.iter().map(|column| format!("{column} = {place}")));
        }
        self
    }

    /// Only rows for which this condition holds, in which every `%` stands for the accounts in brackets.
    pub(crate) fn within_so(mut self, condition: &'static str, within: &Within) -> Self {
        let Within::Accounts(accounts) = within else { return self };
        let places: Vec<String> =
            accounts.iter().map(|account| self.place(Value::Text(account.to_string()))).collect();
        self.conditions.push(match places.as_slice() {
            [] => "1 = 0".to_owned(),
            several => condition.replace('%', &format!("({})", several.join(", "))),
        });
        self
    }

    /// This page of it, in its order.
    pub(crate) fn page<'q>(
        mut self,
        page: &ListPage,
        id: &'static str,
        name: Option<&'static str>,
    ) -> Statement<'q> {
        let name = name.filter(|_| page.order.by_name);
        let (beyond, direction) = if page.order.descending { ("<", " DESC") } else { (">", "") };
        if let Some(after) = page.after.clone() {
            let last_name = name.map(|name| (name, self.place(Value::Text(after.name))));
            let last_id = self.place(Value::Text(after.id));
            self.conditions.push(match last_name {
                Some((name, last)) => format!("({name}, {id}) {beyond} ({last}, {last_id})"),
                None => format!("{id} {beyond} {last_id}"),
            });
        }
        let by_name = name.map(|name| format!("{name}{direction}, ")).unwrap_or_default();
        let limit = self.place(Value::Number(page.limit.into()));
        let sql = self.text_of(id, &format!(" ORDER BY {by_name}{id}{direction} LIMIT {limit}"));
        #[cfg(test)]
        super::plans::note(&sql);
        let mut statement: Statement<'q> = sqlx::query(AssertSqlSafe(sql));
        for value in self.values {
            statement = match value {
                // PostgreSQL is not asked about U+0000: one that no row has either stands for it.
                Value::Text(text) => statement.bind(text.replace('\0', "\u{1}")),
                Value::Number(number) => statement.bind(number),
            };
        }
        statement
    }

    /// The text of the statement. Where there are several sides, each of them gives its own page in order, by an index, and of these
    /// the page is taken: to put all rows of all sides in order would cost what there is, not what is shown.
    fn text_of(&self, id: &str, page: &str) -> String {
        let select = self.select.trim_end();
        match self.sides.as_slice() {
            [] => format!("{select}{}{page}", self.held(None)),
            [side] => format!("{select}{}{page}", self.held(Some(side))),
            several => {
                let from = select.find(" FROM ").and_then(|at| select.get(at..)).unwrap_or_default();
                let pages = several.iter().enumerate().map(|(at, side)| {
                    let held = self.held(Some(side));
                    format!("SELECT part FROM (SELECT {id} AS part{from}{held}{page}) AS side{at}")
                });
                let pages: Vec<String> = pages.collect();
                format!("{select} WHERE {id} IN ({}){page}", pages.join(" UNION ALL "))
            }
        }
    }

    /// Everything that must hold.
    fn held(&self, side: Option<&String>) -> String {
        let all: Vec<&str> = side.into_iter().chain(&self.conditions).map(String::as_str).collect();
        if all.is_empty() { String::new() } else { format!(" WHERE {}", all.join(" AND ")) }
    }

    /// Binds a value: what stands for it in the text.
    fn place(&mut self, value: Value) -> String {
        self.values.push(value);
        format!("${}", self.values.len())
    }
}

/// The pattern of `LIKE … ESCAPE '\'` that finds this text anywhere, in lower case.
fn contains_pattern(text: &str) -> String {
    let mut pattern = String::from("%");
    for c in text.to_lowercase().chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}
