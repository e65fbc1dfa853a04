//! The connection to a broker, and what is under way on it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use levada_model::ErrorKind;
use levada_runtime::Clock;
use rumqttc::mqttbytes::v4::{Connect, ConnectReturnCode, Login, Packet, PubRel, Publish};
use rumqttc::mqttbytes::{Error as PacketError, QoS};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio_rustls::TlsConnector;

use super::address::Address;
use super::{MqttSettings, PAYLOAD_BYTES_MAX, Request, TEXT_BYTES_MAX};
use crate::error::ClientError;
use crate::tls;

/// Messages that are under way at a time. Source: Mosquitto's `max_inflight_messages`; of more with the third quality its 2.0.11 loses
/// some that it acknowledged.
const IN_FLIGHT_MAX: usize = 20;

/// How often a quiet connection is tried. Source: the default of upstream's client library.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// A longer packet of a broker is none that this client asked for.
const PACKET_BYTES_MAX: usize = 64 << 10;

/// The longest packet that is written: a message, its topic and the headers.
const WRITTEN_BYTES_MAX: usize = PAYLOAD_BYTES_MAX + TEXT_BYTES_MAX + 16;

/// Both ways of a connection.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// What a client is made of.
pub(super) struct Session {
    settings: MqttSettings,
    address: Address,
    clock: Arc<dyn Clock>,
    /// Those of the system are read once for connections that follow each other soon.
    authorities: tls::Authorities,
}

/// A connection that the broker has accepted.
struct Connection {
    stream: Box<dyn Stream>,
    read: BytesMut,
    written: BytesMut,
    in_flight: HashMap<u16, oneshot::Sender<Result<(), ClientError>>>,
    last_id: u16,
    /// A ping was sent and not answered.
    is_pinged: bool,
    timeout: Duration,
}

// === impl Session ===

impl Session {
    pub(super) fn new(settings: MqttSettings, address: Address, clock: Arc<dyn Clock>) -> Self {
        Session { settings, address, clock, authorities: tls::Authorities::default() }
    }

    /// Publishes what comes until nobody is left who could publish.
    pub(super) async fn run(self, mut requests: mpsc::Receiver<Request>) {
        while let Some(request) = requests.recv().await {
            if request.done.is_closed() {
                continue;
            }
            let connection = match self.connect().await {
                Ok(connection) => connection,
                Err(error) => {
                    // They have waited as long as the attempt took; who comes later begins another.
                    let mut failed = vec![request];
                    while let Ok(waiting) = requests.try_recv() {
                        failed.push(waiting);
                    }
                    failed.into_iter().for_each(|one| answer(one.done, Err(again(&error))));
                    continue;
                }
            };
            match self.serve(connection, request, &mut requests).await {
                Ok(()) => return,
                Err(error) => {
                    tracing::debug!(broker = %self.address, %error, "the MQTT connection ended");
                }
            }
        }
    }

    /// Publishes over a connection until it breaks, or nobody is left who could publish.
    async fn serve(
        &self,
        mut connection: Connection,
        first: Request,
        requests: &mut mpsc::Receiver<Request>,
    ) -> Result<(), ClientError> {
        let served = self.exchange(&mut connection, first, requests).await;
        if let Err(error) = &served {
            for (_, done) in connection.in_flight.drain() {
                answer(done, Err(again(error)));
            }
        }
        served
    }

    async fn exchange(
        &self,
        connection: &mut Connection,
        first: Request,
        requests: &mut mpsc::Receiver<Request>,
    ) -> Result<(), ClientError> {
        connection.publish(first).await.map_err(|error| self.broken(&error))?;
        let mut ping = self.clock.sleep(KEEP_ALIVE);
        loop {
            let has_room = connection.in_flight.len() < IN_FLIGHT_MAX;
            let outcome = tokio::select! {
                request = requests.recv(), if has_room => match request {
                    Some(request) => connection.publish(request).await,
                    None => {
                        connection.finish().await;
                        return Ok(());
                    }
                },
                packets = connection.receive() => match packets {
                    Ok(()) => connection.take_in().await,
                    Err(error) => Err(error),
                },
                () = &mut ping => {
                    ping = self.clock.sleep(KEEP_ALIVE);
                    connection.ping().await
                }
            };
            outcome.map_err(|error| self.broken(&error))?;
        }
    }

    async fn connect(&self) -> Result<Connection, ClientError> {
        let timeout = self.settings.timeout;
        let connected = tokio::time::timeout(timeout, self.connect_now()).await;
        connected.unwrap_or_else(|_| {
            let message = format!("`{}` did not answer within {timeout:?}", self.address);
            Err(ClientError::new(ErrorKind::Unavailable, message))
        })
    }

    async fn connect_now(&self) -> Result<Connection, ClientError> {
        let Address { host, port, has_tls } = &self.address;
        let unreachable = |error: std::io::Error| {
            let message = format!("`{}` cannot be reached: {error}", self.address);
            ClientError::new(ErrorKind::Unavailable, message).with_source(error)
        };
        let stream = TcpStream::connect((&**host, *port)).await.map_err(unreachable)?;
        stream.set_nodelay(true).map_err(unreachable)?;
        let stream: Box<dyn Stream> = match has_tls {
            false => Box::new(stream),
            true => {
                let now = self.clock.monotonic();
                let config = tls::client_config(&self.settings.tls, &self.authorities, now).await?;
                let name = ServerName::try_from(host.clone()).map_err(|error| {
                    ClientError::new(ErrorKind::Invalid, format!("`{}`: {error}", self.address))
                })?;
                let connector = TlsConnector::from(Arc::new(config));
                Box::new(connector.connect(name, stream).await.map_err(unreachable)?)
            }
        };
        let mut connection = Connection::new(stream, self.settings.timeout);
        let accepted = connection.introduce(&self.settings).await;
        match accepted.map_err(|error| self.broken(&error))? {
            ConnectReturnCode::Success => Ok(connection),
            ConnectReturnCode::ServiceUnavailable => {
                let message = format!("`{}` is not available", self.address);
                Err(ClientError::new(ErrorKind::Unavailable, message))
            }
            refused => {
                let message = format!("`{}` refused the connection: {refused:?}", self.address);
                Err(ClientError::new(ErrorKind::Unauthorized, message))
            }
        }
    }

    fn broken(&self, what: &str) -> ClientError {
        let message = format!("the connection to `{}` broke: {what}", self.address);
        ClientError::new(ErrorKind::Unavailable, message)
    }
}

// === impl Connection ===

impl Connection {
    fn new(stream: Box<dyn Stream>, timeout: Duration) -> Self {
        Connection {
            stream,
            read: BytesMut::new(),
            written: BytesMut::new(),
            in_flight: HashMap::new(),
            last_id: 0,
            is_pinged: false,
            timeout,
        }
    }

    /// Sends CONNECT; gives what the broker says to it.
    async fn introduce(&mut self, settings: &MqttSettings) -> Result<ConnectReturnCode, String> {
        let mut connect = Connect::new(&*settings.client_id);
        connect.keep_alive = KEEP_ALIVE.as_secs() as u16;
        if !settings.username.is_empty() {
            connect.login = Some(Login::new(&*settings.username, &**settings.password.expose()));
        }
        self.write(&Packet::Connect(connect)).await?;
        loop {
            if let Some(packet) = self.next_packet()? {
                return match packet {
                    Packet::ConnAck(answer) => Ok(answer.code),
                    other => {
                        Err(format!("unexpected {other:?} before the connection was accepted"))
                    }
                };
            }
            self.receive().await?;
        }
    }

    /// Sends a message; it is under way until the broker has it.
    async fn publish(&mut self, request: Request) -> Result<(), String> {
        let Request { packet, done } = request;
        if done.is_closed() {
            return Ok(());
        }
        if packet.qos == QoS::AtMostOnce {
            let sent = self.write(&Packet::Publish(packet)).await;
            let outcome = match &sent {
                Ok(()) => Ok(()),
                Err(text) => Err(ClientError::new(ErrorKind::Unavailable, text.clone())),
            };
            answer(done, outcome);
            return sent;
        }
        let id = self.free_id();
        self.in_flight.insert(id, done);
        self.write(&Packet::Publish(Publish { pkid: id, ..packet })).await
    }

    /// Gives a number that no message under way has: there are far fewer of those than numbers.
    fn free_id(&mut self) -> u16 {
        loop {
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
            if !self.in_flight.contains_key(&self.last_id) {
                return self.last_id;
            }
        }
    }

    /// Reads what there is; may be given up at any time without a loss.
    async fn receive(&mut self) -> Result<(), String> {
        match self.stream.read_buf(&mut self.read).await {
            Ok(0) => Err("closed by the broker".to_owned()),
            Ok(_) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Deals with the packets that were read.
    async fn take_in(&mut self) -> Result<(), String> {
        while let Some(packet) = self.next_packet()? {
            match packet {
                Packet::PubAck(ack) => self.arrived(ack.pkid),
                Packet::PubComp(complete) => self.arrived(complete.pkid),
                Packet::PubRec(received) => {
                    self.write(&Packet::PubRel(PubRel::new(received.pkid))).await?;
                }
                Packet::PingResp => self.is_pinged = false,
                other => return Err(format!("unexpected {other:?}")),
            }
        }
        Ok(())
    }

    fn arrived(&mut self, id: u16) {
        if let Some(done) = self.in_flight.remove(&id) {
            answer(done, Ok(()));
        }
    }

    fn next_packet(&mut self) -> Result<Option<Packet>, String> {
        match Packet::read(&mut self.read, PACKET_BYTES_MAX) {
            Ok(packet) => Ok(Some(packet)),
            Err(PacketError::InsufficientBytes(_)) => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Asks whether the broker is there.
    ///
    /// Errors: it did not answer the last time, or has forgotten a message whose sender has stopped waiting.
    async fn ping(&mut self) -> Result<(), String> {
        if self.is_pinged {
            return Err("the broker does not answer".to_owned());
        }
        if self.in_flight.values().any(oneshot::Sender::is_closed) {
            return Err("the broker did not acknowledge a message".to_owned());
        }
        self.is_pinged = true;
        self.write(&Packet::PingReq).await
    }

    /// Says good-bye; a broker that is gone needs none.
    async fn finish(&mut self) {
        let said = self.write(&Packet::Disconnect).await;
        if said.is_ok() {
            drop(tokio::time::timeout(self.timeout, self.stream.shutdown()).await);
        }
    }

    async fn write(&mut self, packet: &Packet) -> Result<(), String> {
        self.written.clear();
        packet.write(&mut self.written, WRITTEN_BYTES_MAX).map_err(|error| error.to_string())?;
        let write = async {
            self.stream.write_all(&self.written).await?;
            self.stream.flush().await
        };
        match tokio::time::timeout(self.timeout, write).await {
            Ok(outcome) => outcome.map_err(|error| error.to_string()),
            Err(_) => Err(format!("nothing could be sent within {:?}", self.timeout)),
        }
    }
}

/// Answers who asked; nobody may wait any more.
fn answer(done: oneshot::Sender<Result<(), ClientError>>, outcome: Result<(), ClientError>) {
    drop(done.send(outcome));
}

/// Gives an error once more, for another who waited for the same.
fn again(error: &ClientError) -> ClientError {
    ClientError::new(error.kind(), error.to_string())
}
