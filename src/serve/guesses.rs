//! Limits on guessing tokens: for each address, and for all together.
//!
//! A token is compared only where there is room: wrong ones keep theirs for a second, also where the client does not wait for the
//! answer. So there are never more than [`ROOM`] guesses a second, whoever guesses. An address with too many wrong tokens is not
//! compared at all for a while; one that has shown a right token never waits for the guesses of others.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;

/// Delay of the answer to a wrong token.
const DELAY: Duration = Duration::from_secs(1);
/// Wrong tokens of one address that are answered one after the other.
const BURST: f64 = 8.0;
/// After these, one more is answered each such time.
const EVERY: Duration = Duration::from_secs(10);
/// Requests of one address that wait, or whose answer is delayed.
const OPEN: usize = 4;
/// Wrong tokens at a time, all addresses.
const ROOM: usize = 8;
/// Requests that wait for room, all addresses: more would take the connections of probes.
const QUEUE: usize = 16;
/// Addresses that are remembered.
const ADDRESSES: usize = 1024;

/// What is remembered of an address.
#[derive(Debug)]
struct Client {
    /// Wrong tokens that still count.
    failures: f64,
    /// When that was so, and when it was seen last.
    at: Instant,
    open: usize,
    /// It has shown a right token.
    trusted: bool,
}

impl Client {
    fn new(at: Instant) -> Self {
        Self { failures: 0.0, at, open: 0, trusted: false }
    }

    /// Takes off what no longer counts.
    fn recover(&mut self, now: Instant) {
        let past = now.saturating_duration_since(self.at).as_secs_f64();
        self.failures = (self.failures - past / EVERY.as_secs_f64()).max(0.0);
        self.at = now;
    }

    /// Seconds until a token of it is compared again; none where it is now.
    fn locked_s(&self) -> Option<u64> {
        let over = self.failures - (BURST - 1.0);
        (over > 0.0).then(|| ((over * EVERY.as_secs_f64()).ceil() as u64).max(1))
    }
}

/// The limits.
#[derive(Debug)]
pub(super) struct GuessLimiter {
    clients: Mutex<HashMap<IpAddr, Client>>,
    room: Arc<Semaphore>,
    queue: Semaphore,
    delay: Duration,
}

/// A token that may be compared now.
pub(super) struct Attempt {
    limiter: Arc<GuessLimiter>,
    address: IpAddr,
    _room: Option<OwnedSemaphorePermit>,
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if let Some(client) = self.limiter.clients().get_mut(&self.address) {
            client.open = client.open.saturating_sub(1);
        }
    }
}

impl Attempt {
    /// The token is right.
    pub(super) fn succeed(self) {
        if let Some(client) = self.limiter.clients().get_mut(&self.address) {
            client.trusted = true;
        }
    }

    /// The token is wrong: waits before the answer. The room is taken for as long, whether the client waits or not.
    pub(super) async fn fail(self) {
        if let Some(client) = self.limiter.clients().get_mut(&self.address) {
            client.failures += 1.0;
        }
        let delay = self.limiter.delay;
        let held = tokio::spawn(async move {
            sleep(delay).await;
            drop(self);
        });
        let _ = held.await;
    }
}

impl GuessLimiter {
    pub(super) fn new() -> Arc<Self> {
        Self::with_delay(DELAY)
    }

    fn with_delay(delay: Duration) -> Arc<Self> {
        let (room, queue) = (Arc::new(Semaphore::new(ROOM)), Semaphore::new(QUEUE));
        Arc::new(Self { clients: Mutex::default(), room, queue, delay })
    }

    fn clients(&self) -> MutexGuard<'_, HashMap<IpAddr, Client>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a token from `address` may be compared.
    ///
    /// # Errors
    /// The seconds to wait, where it may not.
    pub(super) async fn admit(self: &Arc<Self>, address: IpAddr) -> Result<Attempt, u64> {
        let address = network_of(address);
        let (mut attempt, trusted) = self.enter(address, Instant::now())?;
        if !trusted {
            attempt._room = Some(self.wait().await?);
            // others of this address may have failed meanwhile
            let locked = self.clients().get(&address).and_then(Client::locked_s);
            if let Some(wait) = locked {
                return Err(wait);
            }
        }
        Ok(attempt)
    }

    /// Counts a request of `address`, and says whether it has shown a right token before.
    fn enter(self: &Arc<Self>, address: IpAddr, now: Instant) -> Result<(Attempt, bool), u64> {
        let mut clients = self.clients();
        if !clients.contains_key(&address) {
            make_room(&mut clients, now);
        }
        let client = clients.entry(address).or_insert_with(|| Client::new(now));
        client.recover(now);
        if let Some(wait) = client.locked_s() {
            return Err(wait);
        }
        if client.open >= OPEN {
            return Err(DELAY.as_secs());
        }
        client.open += 1;
        let trusted = client.trusted;
        drop(clients);
        Ok((Attempt { limiter: Arc::clone(self), address, _room: None }, trusted))
    }

    async fn wait(&self) -> Result<OwnedSemaphorePermit, u64> {
        if let Ok(room) = Arc::clone(&self.room).try_acquire_owned() {
            return Ok(room);
        }
        let busy = |_| DELAY.as_secs();
        let _place = self.queue.try_acquire().map_err(busy)?;
        Arc::clone(&self.room).acquire_owned().await.map_err(|_| DELAY.as_secs())
    }
}

/// Forgets addresses of which nothing counts any more; where there are too many still, the one that was seen first.
fn make_room(clients: &mut HashMap<IpAddr, Client>, now: Instant) {
    if clients.len() < ADDRESSES {
        return;
    }
    clients.retain(|_, client| {
        let recovered = EVERY.mul_f64(client.failures);
        client.open > 0 || client.trusted || now.saturating_duration_since(client.at) < recovered
    });
    while clients.len() >= ADDRESSES {
        let idle = clients.iter().filter(|(_, client)| client.open == 0);
        let Some(oldest) = idle.min_by_key(|(_, client)| client.at).map(|(address, _)| *address) else {
            return;
        };
        clients.remove(&oldest);
    }
}

/// Whoever has an IPv6 address has the 2⁶⁴ beside it.
fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(n: u32) -> IpAddr {
        IpAddr::V4(n.into())
    }

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
    }

    #[test]
    fn an_address_that_fails_is_locked_and_recovers() {
        let limiter = GuessLimiter::new();
        let now = Instant::now();
        for _ in 0..8 {
            let (attempt, trusted) = limiter.enter(address(1), now).ok().unwrap();
            assert!(!trusted);
            limiter.clients().get_mut(&address(1)).unwrap().failures += 1.0;
            drop(attempt);
        }
        assert_eq!(limiter.enter(address(1), now).err(), Some(10));
        assert!(limiter.enter(address(2), now).is_ok(), "another address");
        assert_eq!(limiter.enter(address(1), now + Duration::from_secs(4)).err(), Some(6));
        assert!(limiter.enter(address(1), now + Duration::from_secs(11)).is_ok());
        let near = |last: u16| network_of(IpAddr::V6(Ipv6Addr::new(1, 2, 3, 4, 0, 0, 0, last)));
        assert_eq!(near(1), near(2));
        assert_eq!(network_of("::ffff:10.0.0.1".parse().unwrap()), "10.0.0.1".parse::<IpAddr>().unwrap());
    }

    #[test]
    fn many_addresses_share_the_room_and_a_known_one_does_not_wait() {
        let delay = Duration::from_millis(100);
        let limiter = GuessLimiter::with_delay(delay);
        runtime().block_on(async {
            limiter.admit(address(99)).await.ok().unwrap().succeed();
            let guess = |n: u32| {
                let limiter = Arc::clone(&limiter);
                tokio::spawn(async move {
                    let attempt = limiter.admit(address(n)).await?;
                    attempt.fail().await;
                    Ok::<(), u64>(())
                })
            };
            let guesses: Vec<_> = (0..40).map(|n| guess(n / 2)).collect();
            tokio::task::yield_now().await;
            assert_eq!((limiter.room.available_permits(), limiter.queue.available_permits()), (0, 0));
            let began = Instant::now();
            // that it need not wait is what is tested: there is no room
            limiter.admit(address(99)).await.ok().unwrap().succeed();
            assert_eq!(limiter.room.available_permits(), 0);
            let mut refused = 0;
            for guess in guesses {
                refused += usize::from(guess.await.unwrap().is_err());
            }
            assert_eq!(refused, 40 - ROOM - QUEUE);
            assert!(began.elapsed() >= delay * 3, "three rounds of eight");
        });
        assert!(limiter.clients().values().all(|client| client.open == 0));
    }

    #[test]
    fn a_client_that_does_not_wait_for_the_answer_makes_no_room() {
        let limiter = GuessLimiter::new();
        runtime().block_on(async {
            for n in 0..ROOM as u32 {
                let attempt = limiter.admit(address(n)).await.ok().unwrap();
                let answer = tokio::spawn(attempt.fail());
                tokio::task::yield_now().await;
                answer.abort();
            }
            tokio::task::yield_now().await;
            assert_eq!(limiter.room.available_permits(), 0);
        });
    }

    #[test]
    fn memory_is_bounded() {
        let limiter = GuessLimiter::new();
        let now = Instant::now();
        for n in 0..3000 {
            drop(limiter.enter(address(n), now + Duration::from_millis(u64::from(n))));
            limiter.clients().get_mut(&address(n)).unwrap().failures = 8.0;
        }
        assert_eq!(limiter.clients().len(), ADDRESSES);
        assert!(limiter.clients().contains_key(&address(2999)));
    }
}
