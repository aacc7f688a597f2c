//! S-expressions: the notation of specs, and of everything an id is computed from.

/// An atom or a list, and where it was read.
///
/// Equality ignores the position: two expressions are equal when they print the same.
#[derive(Debug, Clone)]
pub struct Sexp {
    /// Byte offset in the text it was read from; 0 for one that was built.
    pub at: usize,
    /// What it is.
    pub form: Form,
}

/// The two kinds of S-expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// A string of bytes, with its quotes and escapes undone.
    Atom(Vec<u8>),
    /// `( … )`.
    List(Vec<Sexp>),
}

impl Sexp {
    /// An atom without a position.
    pub fn atom(bytes: impl AsRef<[u8]>) -> Self {
        Self { at: 0, form: Form::Atom(bytes.as_ref().to_vec()) }
    }

    /// A list without a position.
    pub fn list(items: impl IntoIterator<Item = Sexp>) -> Self {
        Self { at: 0, form: Form::List(items.into_iter().collect()) }
    }

    /// `(NAME VALUE)`.
    pub fn pair(name: &str, value: Sexp) -> Self {
        Self::list([Self::atom(name), value])
    }

    /// `(NAME ITEM…)`.
    pub fn tagged(name: &str, items: impl IntoIterator<Item = Sexp>) -> Self {
        Self::list(std::iter::once(Self::atom(name)).chain(items))
    }

    /// The bytes of an atom.
    pub fn as_atom(&self) -> Option<&[u8]> {
        match &self.form {
            Form::Atom(bytes) => Some(bytes),
            Form::List(_) => None,
        }
    }

    /// The items of a list.
    pub fn as_list(&self) -> Option<&[Sexp]> {
        match &self.form {
            Form::Atom(_) => None,
            Form::List(items) => Some(items),
        }
    }
}

impl PartialEq for Sexp {
    fn eq(&self, other: &Self) -> bool {
        self.form == other.form
    }
}

impl Eq for Sexp {}
