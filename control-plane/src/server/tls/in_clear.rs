//! Clients that do not speak TLS to a port that does: told so in their own protocol, since all that they would see
//! otherwise is a connection that ends.

use tokio::{
    io::{self, AsyncRead, AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// What they are told.
pub(crate) const SPEAKS_TLS: &str = "this port speaks TLS: call it by https://";

/// How HTTP/2 begins when both sides know that it is spoken, as gRPC clients do.
const HTTP_2: &[u8] = b"PRI * HTTP/2.0";
/// With the empty lines and the two letters that follow.
const PREFACE_BYTES: usize = 24;
/// What is read of a client that is about to be turned away, at most: enough for its words to be off the wire, so that
/// the answer is not lost by a reset.
const READ_BYTES_MAX: u64 = 64 * 1024;
/// Empty settings: clients may wait for them before they ask anything. This and the rest by RFC 9113, section 6.
const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
/// Type of the frame that begins a request.
const HEADERS: u8 = 1;

/// Whether what a client says first is the word of a request, which no TLS begins with.
pub(super) async fn is_in_clear(stream: &TcpStream) -> io::Result<bool> {
    let mut first = [0];
    Ok(stream.peek(&mut first).await? == 1 && first[0].is_ascii_uppercase())
}

/// Tells a client in clear what is wrong, and hangs up.
pub(super) async fn turn_away(stream: TcpStream) -> io::Result<()> {
    let mut stream = stream.take(READ_BYTES_MAX);
    let mut first = [0; HTTP_2.len()];
    stream.read_exact(&mut first).await?;
    let answer = if first == HTTP_2 {
        stream.get_mut().write_all(&SETTINGS).await?;
        await_request(&mut stream).await?;
        go_away()
    } else {
        bad_request()
    };
    stream.get_mut().write_all(&answer).await?;
    stream.get_mut().shutdown().await?;
    io::copy(&mut stream, &mut io::sink()).await?;
    Ok(())
}

/// Reads until there is a request to fail: a connection that ends before is one that ended, without a reason.
async fn await_request(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
    // What is left of the words by which HTTP/2 begins.
    stream.read_exact(&mut [0; PREFACE_BYTES - HTTP_2.len()]).await?;
    loop {
        let mut head = [0; SETTINGS.len()];
        stream.read_exact(&mut head).await?;
        if head[3] == HEADERS {
            return Ok(());
        }
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        io::copy(&mut stream.take(length.into()), &mut io::sink()).await?;
    }
}

fn bad_request() -> Vec<u8> {
    format!(
        "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\ncontent-length: {}\r\nconnection: close\r\n\r\n\
         {SPEAKS_TLS}\n",
        SPEAKS_TLS.len() + 1
    )
    .into_bytes()
}

/// The end of the connection, with the reason as its debug data.
fn go_away() -> Vec<u8> {
    const GO_AWAY: [u8; 6] = [7, 0, 0, 0, 0, 0];
    const LAST_STREAM: [u8; 4] = [0; 4];
    const INADEQUATE_SECURITY: [u8; 4] = [0, 0, 0, 12];
    // The words are short: a byte holds the length.
    let length = (LAST_STREAM.len() + INADEQUATE_SECURITY.len() + SPEAKS_TLS.len()) as u8;
    [&[0, 0, length], &GO_AWAY[..], &LAST_STREAM, &INADEQUATE_SECURITY, SPEAKS_TLS.as_bytes()].concat()
}
