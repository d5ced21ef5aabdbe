//! Clients that do not speak TLS to a port that does: told so in their own protocol, since all that they would see
//! otherwise is a connection that ends.

use tokio::{
    io::{self, AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// What they are told.
pub(crate) const SPEAKS_TLS: &str = "this port speaks TLS: call it by https://";

/// How HTTP/2 begins when both sides know that it is spoken, as gRPC clients do.
const HTTP_2: &[u8] = b"PRI * HTTP/2.0";
/// What is read of a client that is about to be turned away: enough for its words to be off the wire, so that the
/// answer is not lost by a reset.
const READ_BYTES_MAX: u64 = 64 * 1024;

/// Whether what a client says first is the word of a request, which no TLS begins with.
pub(super) async fn is_in_clear(stream: &TcpStream) -> io::Result<bool> {
    let mut first = [0];
    Ok(stream.peek(&mut first).await? == 1 && first[0].is_ascii_uppercase())
}

/// Tells a client in clear what is wrong, and hangs up.
pub(super) async fn turn_away(mut stream: TcpStream) -> io::Result<()> {
    let mut first = [0; HTTP_2.len()];
    stream.read_exact(&mut first).await?;
    let answer = if first == HTTP_2 { go_away() } else { bad_request() };
    stream.write_all(&answer).await?;
    stream.shutdown().await?;
    io::copy(&mut stream.take(READ_BYTES_MAX), &mut io::sink()).await?;
    Ok(())
}

fn bad_request() -> Vec<u8> {
    format!(
        "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\ncontent-length: {}\r\nconnection: close\r\n\r\n\
         {SPEAKS_TLS}\n",
        SPEAKS_TLS.len() + 1
    )
    .into_bytes()
}

/// Empty settings, then the end of the connection with the reason as its debug data; both by RFC 9113, section 6.
fn go_away() -> Vec<u8> {
    const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    const GO_AWAY: [u8; 6] = [7, 0, 0, 0, 0, 0];
    const LAST_STREAM: [u8; 4] = [0; 4];
    const INADEQUATE_SECURITY: [u8; 4] = [0, 0, 0, 12];
    // The words are short: a byte holds the length.
    let length = (LAST_STREAM.len() + INADEQUATE_SECURITY.len() + SPEAKS_TLS.len()) as u8;
    [&SETTINGS[..], &[0, 0, length], &GO_AWAY, &LAST_STREAM, &INADEQUATE_SECURITY, SPEAKS_TLS.as_bytes()]
        .concat()
}
