//! Enums that stand as words in the database.

use crate::failure::Fault;

/// Declares an enum whose variants stand in a column as words; a check constraint of the column lists the same words.
macro_rules! stored_enum {
    ($(#[$doc:meta])* $vis:vis enum $name:ident in $table:literal.$column:literal {
        $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        $vis enum $name { $($(#[$variant_doc])* $variant,)* }

        impl $name {
            /// Every variant.
            $vis const ALL: &[Self] = &[$(Self::$variant),*];

            /// The word in the database.
            $vis fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// Reads the word from the database.
            ///
            /// # Errors
            ///
            /// A word that the check constraint should have kept out.
            $vis fn from_stored(word: &str) -> Result<Self, $crate::failure::Fault> {
                Self::ALL
                    .iter()
                    .copied()
                    .find(|known| known.as_str() == word)
                    .ok_or_else(|| $crate::postgres::stored::unreadable($table, $column, word))
            }
        }
    };
}

pub(crate) use stored_enum;

/// A value that the database should not hold.
pub(crate) fn unreadable(table: &'static str, column: &'static str, value: impl Into<String>) -> Fault {
    Fault::Unreadable { table, column, value: value.into() }
}
