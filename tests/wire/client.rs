//! A client that sends whatever it is told, right or wrong, and knows what an answer must look like.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

/// Longer than any answer takes, even on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// One message of the server.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) kind: u8,
    pub(crate) body: Vec<u8>,
}

/// How waiting for a message ended.
#[derive(Debug, PartialEq)]
pub(crate) enum Heard {
    Answer(Answer),
    Closed,
    Nothing,
}

/// A connection.
pub(crate) struct Client {
    stream: TcpStream,
}

impl Client {
    /// Connects, and sends nothing.
    pub(crate) fn open(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).expect("the server accepts");
        stream.set_nodelay(true).expect("a socket");
        Client { stream }
    }

    /// Connects and logs in.
    pub(crate) fn login(address: SocketAddr) -> Client {
        let mut client = Client::open(address);
        client.send(&startup(0, &[("user", "slicedb")]));
        let answers = client.until_ready();
        assert_eq!(answers[0].body, [0; 4], "logged in: {answers:?}");
        client
    }

    /// Sends bytes; a server that has closed already is no failure.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// No more bytes will come.
    pub(crate) fn finish(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// The next byte, as in the answer to an SSLRequest.
    pub(crate) fn byte(&mut self) -> Option<u8> {
        let mut byte = [0];
        self.stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a socket");
        matches!(self.stream.read(&mut byte), Ok(1)).then_some(byte[0])
    }

    /// The next message, if one begins within `patience`.
    pub(crate) fn hear(&mut self, patience: Duration) -> Heard {
        let mut kind = [0];
        self.stream
            .set_read_timeout(Some(patience))
            .expect("a socket");
        match self.stream.read(&mut kind) {
            Ok(1) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return Heard::Nothing;
            }
            _ => return Heard::Closed,
        }
        self.stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a socket");
        let mut length = [0; 4];
        self.stream
            .read_exact(&mut length)
            .expect("a length follows the type");
        let length = i32::from_be_bytes(length);
        assert!(
            (4..1 << 30).contains(&length),
            "length {length} of type {:?}",
            kind[0] as char
        );
        let mut body = vec![0; length as usize - 4];
        self.stream
            .read_exact(&mut body)
            .expect("the body is complete");
        Heard::Answer(Answer {
            kind: kind[0],
            body,
        })
    }

    /// All messages up to ReadyForQuery or the end of the connection.
    pub(crate) fn until_ready(&mut self) -> Vec<Answer> {
        let mut answers = Vec::new();
        while let Heard::Answer(answer) = self.hear(PATIENCE) {
            let ready = answer.kind == b'Z';
            answers.push(answer);
            if ready {
                break;
            }
        }
        answers
    }

    /// All messages up to the end of the connection, which must come.
    pub(crate) fn until_closed(&mut self) -> Vec<Answer> {
        let mut answers = Vec::new();
        loop {
            match self.hear(PATIENCE) {
                Heard::Answer(answer) => answers.push(answer),
                Heard::Closed => return answers,
                Heard::Nothing => panic!("the server neither answers nor closes: {answers:?}"),
            }
        }
    }
}

impl Answer {
    /// A field of an ErrorResponse or NoticeResponse.
    pub(crate) fn field(&self, code: u8) -> Option<String> {
        let fields = self.body.split(|byte| *byte == 0);
        let field = fields
            .filter(|field| field.first() == Some(&code))
            .map(|field| &field[1..]);
        field
            .map(|text| String::from_utf8_lossy(text).into_owned())
            .next()
    }

    /// One line that says it all, except for what differs between runs.
    pub(crate) fn print(&self) -> String {
        let mut body = Body(&self.body);
        match self.kind {
            b'R' => format!("Authentication {}", body.i32()),
            b'K' => format!("BackendKeyData with {} bytes of key", self.body.len() - 4),
            b'Z' => format!("ReadyForQuery {}", self.body[0] as char),
            b'C' => format!("CommandComplete \"{}\"", body.text()),
            b'1' => "ParseComplete".into(),
            b'2' => "BindComplete".into(),
            b'3' => "CloseComplete".into(),
            b'n' => "NoData".into(),
            b's' => "PortalSuspended".into(),
            b'I' => "EmptyQueryResponse".into(),
            b'c' => "CopyDone".into(),
            b'd' => format!("CopyData \"{}\"", self.body.escape_ascii()),
            b'G' => format!("CopyInResponse {}", formats(&mut body)),
            b'H' => format!("CopyOutResponse {}", formats(&mut body)),
            b'E' => format!("ErrorResponse{}", self.print_fields()),
            b'N' => format!("NoticeResponse{}", self.print_fields()),
            b'S' => format!("ParameterStatus {} \"{}\"", body.text(), body.text()),
            b'T' => {
                let fields = (0..body.i16()).map(|_| {
                    let name = body.text();
                    let (_table, _column) = (body.i32(), body.i16());
                    let (ty, _size, _modifier, format) =
                        (body.i32(), body.i16(), body.i32(), body.i16());
                    format!(" {name}:{ty}{}", if format == 1 { ":binary" } else { "" })
                });
                format!("RowDescription{}", fields.collect::<String>())
            }
            b't' => {
                let types = (0..body.i16()).map(|_| format!(" {}", body.i32()));
                format!("ParameterDescription{}", types.collect::<String>())
            }
            b'D' => {
                let values = (0..body.i16()).map(|_| match body.i32() {
                    -1 => " null".into(),
                    length => format!(" \"{}\"", body.bytes(length as usize).escape_ascii()),
                });
                format!("DataRow{}", values.collect::<String>())
            }
            b'v' => {
                let version = body.i32();
                let options = (0..body.i32()).map(|_| format!(" {}", body.text()));
                let options = options.collect::<String>();
                format!(
                    "NegotiateProtocolVersion {}.{}{options}",
                    version >> 16,
                    version & 0xffff
                )
            }
            kind => panic!("a message of unknown type {:?}", kind as char),
        }
    }

    fn print_fields(&self) -> String {
        assert_eq!(self.field(b'S'), self.field(b'V'));
        let names = "S C M D H P W".split(' ').map(|name| name.as_bytes()[0]);
        let fields = names.filter_map(|name| Some((name, self.field(name)?)));
        let print = |(name, value): (u8, String)| match name {
            b'S' | b'C' => format!(" {value}"),
            b'M' => format!(" {value:?}"),
            name => format!(" {}={value:?}", name as char),
        };
        fields.map(print).collect()
    }
}

fn formats(body: &mut Body) -> String {
    let overall = if body.bytes(1) == [1] {
        "binary"
    } else {
        "text"
    };
    let columns = body.i16();
    format!("{overall} {columns}")
}

struct Body<'a>(&'a [u8]);

impl<'a> Body<'a> {
    fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (bytes, rest) = self.0.split_at(count);
        self.0 = rest;
        bytes
    }

    fn i16(&mut self) -> i16 {
        i16::from_be_bytes(self.bytes(2).try_into().expect("two bytes"))
    }

    fn i32(&mut self) -> i32 {
        i32::from_be_bytes(self.bytes(4).try_into().expect("four bytes"))
    }

    fn text(&mut self) -> String {
        let end = self.0.iter().position(|byte| *byte == 0).expect("a NUL");
        let text = String::from_utf8(self.bytes(end).to_vec()).expect("UTF-8");
        self.bytes(1);
        text
    }
}

/// A message: type, length and body.
pub(crate) fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as i32 + 4).to_be_bytes();
    [&[kind][..], &length, body].concat()
}

/// A packet without a type: length, code and body.
pub(crate) fn packet(code: i32, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as i32 + 8).to_be_bytes();
    [&length[..], &code.to_be_bytes(), body].concat()
}

/// A StartupMessage of protocol 3.
pub(crate) fn startup(minor: u16, parameters: &[(&str, &str)]) -> Vec<u8> {
    let mut body: Vec<u8> = parameters
        .iter()
        .flat_map(|(name, value)| texts(&[name, value]))
        .collect();
    body.push(0);
    packet((3 << 16) | i32::from(minor), &body)
}

/// NUL-terminated strings.
pub(crate) fn texts(texts: &[&str]) -> Vec<u8> {
    texts
        .iter()
        .flat_map(|text| [text.as_bytes(), &[0]].concat())
        .collect()
}

/// A Query message.
pub(crate) fn query(text: &str) -> Vec<u8> {
    message(b'Q', &texts(&[text]))
}

/// A Parse message without types.
pub(crate) fn parse(name: &str, text: &str) -> Vec<u8> {
    message(b'P', &[texts(&[name, text]), vec![0, 0]].concat())
}

/// A Bind message; formats are codes of all parameters and of all columns.
pub(crate) fn bind(
    portal: &str,
    statement: &str,
    values: &[Option<Vec<u8>>],
    formats: (u16, u16),
) -> Vec<u8> {
    let mut body = texts(&[portal, statement]);
    body.extend(
        [1_u16, formats.0, values.len() as u16]
            .iter()
            .flat_map(|n| n.to_be_bytes()),
    );
    for value in values {
        let length = value.as_ref().map_or(-1, |value| value.len() as i32);
        body.extend(length.to_be_bytes());
        body.extend(value.iter().flatten());
    }
    body.extend([1_u16, formats.1].iter().flat_map(|n| n.to_be_bytes()));
    message(b'B', &body)
}

/// An Execute message; 0 rows are all.
pub(crate) fn execute(portal: &str, rows: i32) -> Vec<u8> {
    message(
        b'E',
        &[texts(&[portal]), rows.to_be_bytes().to_vec()].concat(),
    )
}

/// A Sync message.
pub(crate) fn sync() -> Vec<u8> {
    message(b'S', &[])
}
