//! Lays text out in boxes, with the rules of OCaml's `Format` at its usual width, for headings that are
//! the same bytes as OBuilder's.
//!
//! Lines have 78 columns, and no box may be opened past column 68: one that would be begins a new line of
//! the box around it. Columns count bytes.

const MARGIN: isize = 78;
const MAX_INDENT: isize = 68;

/// A piece of text to be laid out.
#[derive(Debug)]
pub(super) enum Doc {
    /// Bytes without a newline.
    Text(Vec<u8>),
    /// Where a line may end; `n` blanks where it does not.
    Break(usize),
    /// A new line, at the indentation of the innermost box.
    Newline,
    /// A box.
    Boxed(Kind, Vec<Doc>),
}

/// What the breaks of a box do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// None ends a line.
    Horizontal,
    /// Each ends a line, which is indented by so many columns from where the box begins.
    Vertical(usize),
    /// Vertical unless the whole box fits on the line.
    HorizontalOrVertical,
}

/// The text of `doc`, begun at column 0.
pub(super) fn lay_out(doc: &Doc) -> Vec<u8> {
    let mut page = Page { out: Vec::new(), space_left: MARGIN, open: Vec::new() };
    page.put(doc);
    page.out
}

struct Page {
    out: Vec<u8>,
    /// Columns left on this line; negative on a line that is too long.
    space_left: isize,
    /// The boxes around: what their breaks do, and the columns they have from their left edge on.
    open: Vec<(Kind, isize)>,
}

impl Page {
    fn put(&mut self, doc: &Doc) {
        match doc {
            Doc::Text(bytes) => {
                self.out.extend_from_slice(bytes);
                self.space_left -= bytes.len() as isize;
            }
            Doc::Break(blanks) => match self.open.last() {
                Some(&(Kind::Vertical(_) | Kind::HorizontalOrVertical, width)) => self.new_line(width),
                _ => self.put(&Doc::Text(vec![b' '; *blanks])),
            },
            Doc::Newline => self.new_line(self.open.last().map_or(MARGIN, |&(_, width)| width)),
            Doc::Boxed(kind, inner) => {
                self.open_box(*kind, inner);
                inner.iter().for_each(|doc| self.put(doc));
                self.open.pop();
            }
        }
    }

    fn open_box(&mut self, kind: Kind, inner: &[Doc]) {
        let fits = inner.iter().map(size).sum::<isize>() < self.space_left;
        if MARGIN - self.space_left > MAX_INDENT {
            self.move_to_new_line();
        }
        let indent = if let Kind::Vertical(indent) = kind { indent as isize } else { 0 };
        let kind = if kind == Kind::HorizontalOrVertical && fits { Kind::Horizontal } else { kind };
        self.open.push((kind, self.space_left - indent));
    }

    /// Begins a new line before a box too far to the right, where the box around it has any line to give.
    fn move_to_new_line(&mut self) {
        match self.open.last() {
            None => self.new_line(MARGIN),
            Some(&(Kind::Horizontal, _)) => {}
            Some(&(_, width)) if width > self.space_left => self.new_line(width),
            Some(_) => {}
        }
    }

    fn new_line(&mut self, width: isize) {
        let indent = (MARGIN - width).min(MAX_INDENT);
        self.out.push(b'\n');
        self.out.extend(std::iter::repeat_n(b' ', indent as usize));
        self.space_left = MARGIN - indent;
    }
}

/// Columns on one line.
fn size(doc: &Doc) -> isize {
    match doc {
        Doc::Text(bytes) => bytes.len() as isize,
        Doc::Break(blanks) => *blanks as isize,
        Doc::Newline => 0,
        Doc::Boxed(_, inner) => inner.iter().map(size).sum(),
    }
}
