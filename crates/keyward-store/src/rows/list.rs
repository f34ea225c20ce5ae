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
    sql: String,
    conditions: u32,
    values: Vec<Value>,
}

impl Listing {
    pub(crate) fn new(select: &'static str) -> Self {
        Self { sql: select.to_owned(), conditions: 0, values: Vec::new() }
    }

    /// Only rows for which this condition holds, in which every `?` stands for the value, if there is one.
    pub(crate) fn only(mut self, condition: &'static str, value: Option<Value>) -> Self {
        let Some(value) = value else { return self };
        let place = format!("${}", self.values.len() + 1);
        self.values.push(value);
        self.condition(&condition.replace('?', &place));
        self
    }

    pub(crate) fn text(self, condition: &'static str, value: Option<impl ToString>) -> Self {
        self.only(condition, value.map(|value| Value::Text(value.to_string())))
    }

    /// Only rows where this column is so. It stands in the text, so that an index of such rows alone can serve it.
    pub(crate) fn flag(mut self, column: &'static str, value: Option<bool>) -> Self {
        if let Some(value) = value {
            self.condition(&format!("{column} = {}", u8::from(value)));
        }
        self
    }

    /// Only rows whose name has this in it, in any case.
    pub(crate) fn name_has(self, column: &'static str, part: Option<&str>) -> Self {
        let Some(part) = part.filter(|part| !part.is_empty()) else { return self };
        let place = self.values.len() + 1;
        let mut listing = self;
        listing.values.push(Value::Text(contains_pattern(part)));
        listing.condition(&format!("lower({column}) LIKE ${place} ESCAPE '\\'"));
        listing
    }

    /// Only rows for which this holds, whatever is asked.
    pub(crate) fn fixed(mut self, condition: &'static str) -> Self {
        self.condition(condition);
        self
    }

    /// Only rows after the one with these values in these columns, which are the order of the list.
    pub(crate) fn beyond(mut self, columns: &'static str, values: Vec<Value>) -> Self {
        let first = self.values.len() + 1;
        let places: Vec<String> = (first..first + values.len()).map(|place| format!("${place}")).collect();
        self.values.extend(values);
        self.condition(&format!("({columns}) > ({})", places.join(", ")));
        self
    }

    /// Only rows of these accounts.
    pub(crate) fn within(self, column: &'static str, within: &Within) -> Self {
        match within {
            Within::Accounts(accounts) if accounts.len() == 1 => {
                self.text("@ = ?", accounts.first()).column(column)
            }
            _ => self.within_so("@ IN %", within).column(column),
        }
    }

    /// Only rows for which this condition holds, in which every `%` stands for the accounts in brackets.
    pub(crate) fn within_so(mut self, condition: &'static str, within: &Within) -> Self {
        let Within::Accounts(accounts) = within else { return self };
        let places: Vec<String> = accounts
            .iter()
            .map(|account| {
                self.values.push(Value::Text(account.to_string()));
                format!("${}", self.values.len())
            })
            .collect();
        match places.as_slice() {
            // No row is of no account.
            [] => self.condition("1 = 0"),
            several => self.condition(&condition.replace('%', &format!("({})", several.join(", ")))),
        }
        self
    }

    /// Puts this column in the place of `@`.
    fn column(mut self, column: &'static str) -> Self {
        self.sql = self.sql.replace('@', column);
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
            let place = self.values.len() + 1;
            match name {
                Some(name) => {
                    self.values.extend([Value::Text(after.name), Value::Text(after.id)]);
                    self.condition(&format!("({name}, {id}) {beyond} (${place}, ${})", place + 1));
                }
                None => {
                    self.values.push(Value::Text(after.id));
                    self.condition(&format!("{id} {beyond} ${place}"));
                }
            }
        }
        let by_name = name.map(|name| format!("{name}{direction}, ")).unwrap_or_default();
        self.values.push(Value::Number(page.limit.into()));
        let place = self.values.len();
        self.sql.push_str(&format!(" ORDER BY {by_name}{id}{direction} LIMIT ${place}"));
        #[cfg(test)]
        super::plans::note(&self.sql);
        let mut statement: Statement<'q> = sqlx::query(AssertSqlSafe(self.sql));
        for value in self.values {
            statement = match value {
                // PostgreSQL is not asked about U+0000: one that no row has either stands for it.
                Value::Text(text) => statement.bind(text.replace('\0', "\u{1}")),
                Value::Number(number) => statement.bind(number),
            };
        }
        statement
    }

    fn condition(&mut self, condition: &str) {
        self.sql.push_str(if self.conditions == 0 { " WHERE " } else { " AND " });
        self.sql.push_str(condition);
        self.conditions += 1;
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
