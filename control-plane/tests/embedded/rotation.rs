//! Changing keys while a server runs and is called all the time.

use std::{
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use crate::harness::{Account, Database, Keys, Place, Server, eventually, rollcall};

/// How long a server may take to learn of a changed file, with time to spare on a busy machine.
const LEARN_LIMIT: Duration = Duration::from_secs(10);

/// A caller that never pauses, and what a refusal of its calls means at the moment.
struct Caller {
    token: String,
    state: Mutex<State>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Every call must succeed.
    Good,
    /// The key was retired: calls succeed until the server has learned of it, and never after.
    Ending,
    /// A call was refused.
    Ended,
    /// No more calls.
    Stop,
}

impl Caller {
    fn new(token: String) -> Self {
        Self { token, state: Mutex::new(State::Good) }
    }

    fn state(&self) -> State {
        *self.state.lock().unwrap()
    }

    fn set(&self, state: State) {
        *self.state.lock().unwrap() = state;
    }

    /// Notes a refusal that was to come.
    fn end(&self) {
        let mut state = self.state.lock().unwrap();
        if *state == State::Ending {
            *state = State::Ended;
        }
    }

    /// Calls until told to stop; gives how often.
    fn run(&self, server: &Server, place: &Place) -> u32 {
        let mut calls = 0;
        loop {
            // Looked at before the call: what was asked of it then is what it is judged by.
            let before = self.state();
            if before == State::Stop {
                return calls;
            }
            let call = server.client_with(place, &self.token, &["session", "list"]);
            calls += 1;
            match (before, call.code) {
                (State::Good | State::Ending, Some(0)) => {}
                (State::Ending | State::Ended, _) => {
                    call.refused(1, &["auth.token_invalid", "is not in the key ring"]);
                    self.end();
                }
                // It may have become Ending in the middle of the call.
                (State::Good, _) => {
                    assert_ne!(self.state(), State::Good, "refused what should pass: {call:?}");
                }
                (State::Stop, _) => return calls,
            }
        }
    }
}

#[test]
fn under_continuous_calls_a_rotation_refuses_nothing_but_tokens_of_the_retired_key() {
    let place = Place::new();
    let database = Database::migrated();
    let keys = Keys::create(&place, "keys.json");
    let old_key = keys.list(&place)[0].0.clone();
    let old = Caller::new(keys.bootstrap(&place, &database, &[]).succeeded().stdout.trim_end().to_owned());
    let serve = || {
        let mut command = rollcall(Account::Own, &place, &["serve", "--listen=127.0.0.1:0"]);
        command.env("DATABASE_URL", &database.url).env("ROLLCALL_TOKEN_KEYS", keys.path());
        Server::try_serve(command, &old.token).unwrap()
    };
    let (server, standby) = (serve(), serve());
    // Both serve, and so have the first ring.
    eventually("one leads and one stands by", || {
        let mut statuses = [&server, &standby].map(Server::active_status);
        statuses.sort();
        statuses == [Some(200), Some(503)]
    });
    let both_have_read = |times: usize| {
        let began = Instant::now();
        let read = |one: &Server| one.running.stderr().matches("the key ring was read again").count();
        eventually("both servers have read the file again", || {
            read(&server) >= times && read(&standby) >= times
        });
        assert!(began.elapsed() < LEARN_LIMIT, "it took {:?}", began.elapsed());
    };

    let calls = thread::scope(|scope| {
        let _stopping = Stopping(&old);
        let by_old = scope.spawn(|| old.run(&server, &place));

        let new_key = keys.run(&place, "add", &[]).succeeded().stdout.trim_end().to_owned();
        both_have_read(1);
        keys.run(&place, "promote", &[&new_key]).succeeded();
        let new = Caller::new(keys.token(&place, &database));
        both_have_read(2);
        thread::scope(|scope| {
            let _stopping = Stopping(&new);
            let by_new = [&server, &standby].map(|one| scope.spawn(|| new.run(one, &place)));
            thread::sleep(Duration::from_secs(1));

            old.set(State::Ending);
            keys.run(&place, "retire", &[&old_key]).succeeded();
            let began = Instant::now();
            eventually("the old token is refused", || old.state() == State::Ended || by_old.is_finished());
            assert!(began.elapsed() < LEARN_LIMIT, "it took {:?}", began.elapsed());
            both_have_read(3);
            standby.client_with(&place, &old.token, &["session", "list"]).refused(1, &["auth.token_invalid"]);
            thread::sleep(Duration::from_secs(1));
            for caller in [&new, &old] {
                caller.set(State::Stop);
            }
            let mut calls = by_new.map(|by| by.join().unwrap()).to_vec();
            calls.push(by_old.join().unwrap());
            calls
        })
    });
    assert!(calls.iter().all(|calls| *calls > 5), "hardly any calls: {calls:?}");
    for server in [server, standby] {
        let log = server.stop().stderr;
        assert!(!log.contains(r#""level":"ERROR""#), "{log}");
    }
}

/// Stops a caller also when the test fails, for a scope waits for its threads.
struct Stopping<'a>(&'a Caller);

impl Drop for Stopping<'_> {
    fn drop(&mut self) {
        self.0.set(State::Stop);
    }
}
