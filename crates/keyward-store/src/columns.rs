//! Reading a row's columns, the same for every driver.

use std::str::FromStr;

use keyward_model::{ParseError, Timestamp};
use sqlx::Row;

/// A row of any driver. Errors say which column is wrong, never what is in it.
pub(crate) trait Columns {
    fn text(&self, column: &'static str) -> Result<String, String>;
    fn text_or_null(&self, column: &'static str) -> Result<Option<String>, String>;
    fn number(&self, column: &'static str) -> Result<i64, String>;
    fn number_or_null(&self, column: &'static str) -> Result<Option<i64>, String>;
    fn bytes_or_null(&self, column: &'static str) -> Result<Option<Vec<u8>>, String>;

    fn flag(&self, column: &'static str) -> Result<bool, String> {
        match self.number(column)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(format!("its `{column}` is neither 0 nor 1")),
        }
    }

    fn time(&self, column: &'static str) -> Result<Timestamp, String> {
        self.number(column).map(Timestamp::from_millis)
    }

    fn time_or_null(&self, column: &'static str) -> Result<Option<Timestamp>, String> {
        Ok(self.number_or_null(column)?.map(Timestamp::from_millis))
    }

    fn revision(&self) -> Result<u64, String> {
        u64::try_from(self.number("revision")?).map_err(|_| "its `revision` is negative".to_owned())
    }

    fn parsed<T: FromStr<Err = ParseError>>(&self, column: &'static str) -> Result<T, String> {
        let text = self.text(column)?;
        text.parse().map_err(|error: ParseError| format!("its `{column}`: {error}"))
    }

    fn parsed_or_null<T: FromStr<Err = ParseError>>(
        &self,
        column: &'static str,
    ) -> Result<Option<T>, String> {
        let text = self.text_or_null(column)?;
        text.map(|text| text.parse().map_err(|error: ParseError| format!("its `{column}`: {error}")))
            .transpose()
    }
}

macro_rules! columns_of {
    ($row:ty) => {
        impl Columns for $row {
            fn text(&self, column: &'static str) -> Result<String, String> {
                self.try_get(column).map_err(|_| unreadable(column))
            }
            fn text_or_null(&self, column: &'static str) -> Result<Option<String>, String> {
                self.try_get(column).map_err(|_| unreadable(column))
            }
            fn number(&self, column: &'static str) -> Result<i64, String> {
                self.try_get(column).map_err(|_| unreadable(column))
            }
            fn number_or_null(&self, column: &'static str) -> Result<Option<i64>, String> {
                self.try_get(column).map_err(|_| unreadable(column))
            }
            fn bytes_or_null(&self, column: &'static str) -> Result<Option<Vec<u8>>, String> {
                self.try_get(column).map_err(|_| unreadable(column))
            }
        }
    };
}

columns_of!(sqlx::any::AnyRow);
columns_of!(sqlx::sqlite::SqliteRow);
columns_of!(sqlx::postgres::PgRow);

fn unreadable(column: &str) -> String {
    format!("its `{column}` is missing or of another type")
}
