//! What the product promises, shown on the built binaries, from outside.

mod attach;
