//! Archives and layers, compressed or not: gzip (RFC 1952) and zstd (RFC 8878), each in any number of parts.
use std::io::{self, BufRead, BufReader, ErrorKind, Read};

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

/// How gzip's files begin.
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// How a frame of zstd begins.
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// Bytes read at once.
const BUFFER: usize = 128 * 1024;
/// The most memory that a frame of zstd may ask for, which is what zstd(1) gives without being asked.
const WINDOW: u64 = 128 << 20;

/// How something is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Gzip,
    Zstd,
}

/// Learns from its first bytes how `from` is compressed, and gives all of it back.
pub(super) fn detect<R: Read>(mut from: R) -> io::Result<(Compression, impl BufRead + use<R>)> {
    let mut start = [0; 4];
    let read = read_up_to(&mut from, &mut start)?;
    let kind = match &start[..read] {
        start if start.starts_with(&GZIP) => Compression::Gzip,
        start if *start == ZSTD => Compression::Zstd,
        _ => Compression::None,
    };
    Ok((kind, BufReader::with_capacity(BUFFER, io::Cursor::new(start).take(read as u64).chain(from))))
}

/// What `from` holds.
pub(super) fn plain<'r>(kind: Compression, from: impl BufRead + 'r) -> Box<dyn Read + 'r> {
    match kind {
        Compression::None => Box::new(from),
        Compression::Gzip => Box::new(MultiGzDecoder::new(from)),
        Compression::Zstd => Box::new(Frames::new(from)),
    }
}

fn read_up_to(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match from.read(&mut buffer[filled..])? {
            0 => break,
            n => filled += n,
        }
    }
    Ok(filled)
}

/// The frames of zstd, one after the other; those that carry something else are skipped.
struct Frames<R> {
    from: R,
    decoder: FrameDecoder,
    within: bool,
}

impl<R: BufRead> Frames<R> {
    fn new(from: R) -> Self {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(WINDOW);
        Self { from, decoder, within: false }
    }

    /// Goes on to the next frame; false if there is none.
    fn begin(&mut self) -> io::Result<bool> {
        while !self.from.fill_buf()?.is_empty() {
            match self.decoder.init(&mut self.from) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    io::copy(&mut (&mut self.from).take(length.into()), &mut io::sink())?;
                }
                Err(error) => return Err(damaged(&error)),
            }
        }
        Ok(false)
    }
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.within || self.begin()? {
            while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                let one = BlockDecodingStrategy::UptoBlocks(1);
                self.decoder.decode_blocks(&mut self.from, one).map_err(|error| damaged(&error))?;
            }
            let read = self.decoder.read(buffer)?;
            self.within = !self.decoder.is_finished() || self.decoder.can_collect() > 0;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
        }
        Ok(0)
    }
}

fn damaged(error: &FrameDecoderError) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("it is not zstd as it should be: {error}"))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::write::GzEncoder;

    use super::*;

    /// `hello` and a line's end by zstd(1), with a checksum.
    const HELLO: [u8; 19] = [
        0x28, 0xb5, 0x2f, 0xfd, 0x04, 0x58, 0x31, 0, 0, 0x68, 0x65, 0x6c, 0x6c, 0x6f, 0x0a, 0x53, 0x88, 0xbd,
        0x91,
    ];

    fn read(bytes: &[u8]) -> io::Result<(Compression, Vec<u8>)> {
        let (kind, from) = detect(bytes)?;
        let mut found = Vec::new();
        plain(kind, from).read_to_end(&mut found)?;
        Ok((kind, found))
    }

    #[test]
    fn what_is_not_compressed_is_given_as_it_is() {
        for bytes in [&b""[..], b"x", b"abc", b"abcdefgh"] {
            assert_eq!(read(bytes).unwrap(), (Compression::None, bytes.to_vec()));
        }
    }

    #[test]
    fn several_parts_of_gzip_are_one() {
        let part = |text: &[u8]| {
            let mut gzip = GzEncoder::new(Vec::new(), flate2::Compression::fast());
            gzip.write_all(text).unwrap();
            gzip.finish().unwrap()
        };
        let both = [part(b"one "), part(b"two")].concat();
        assert_eq!(read(&both).unwrap(), (Compression::Gzip, b"one two".to_vec()));
    }

    #[test]
    fn several_frames_of_zstd_are_one_and_those_of_others_are_skipped() {
        let skipped = [0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3];
        let all = [&HELLO[..], &skipped, &HELLO, &skipped].concat();
        assert_eq!(read(&all).unwrap(), (Compression::Zstd, b"hello\nhello\n".to_vec()));
    }

    #[test]
    fn zstd_that_was_cut_off_or_is_none_is_an_error() {
        for bytes in [&HELLO[..9], &HELLO[..5], &[&HELLO[..], b"rubbish"].concat()] {
            assert_eq!(read(bytes).unwrap_err().kind(), ErrorKind::InvalidData, "{bytes:?}");
        }
    }
}
