//! Which node is where: its name, session, stream, and whether it is among those to be silenced. Pure.
//!
//! Nodes are numbered from 0; everything else follows from the number, so that a million of them need no table.

/// Multiplied with a number to spread those that are silenced over sessions and streams. A prime above any number of
/// nodes, hence without a divisor in common with it: each rank then comes exactly once.
const SPREAD: u64 = 2_654_435_761;

/// How the fleet is laid out.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) prefix: String,
    pub(crate) nodes: u32,
    pub(crate) sessions: u32,
    pub(crate) streams: u32,
    /// Part of the nodes that is silenced, from 0 to 1.
    pub(crate) silenced: f64,
}

impl Plan {
    /// The name of a node.
    pub(crate) fn name(&self, node: u32) -> String {
        format!("{}-{}", self.prefix, u64::from(node) + 1)
    }

    /// The node of this name, if it is one of this fleet.
    pub(crate) fn node(&self, name: &str) -> Option<u32> {
        let number = name.strip_prefix(&self.prefix)?.strip_prefix('-')?;
        // One name a node: numbers also parse with a sign or leading zeros.
        let is_plain = number.bytes().all(|byte| byte.is_ascii_digit()) && !number.starts_with('0');
        let node = number.parse::<u32>().ok().filter(|_| is_plain)?.checked_sub(1)?;
        (node < self.nodes).then_some(node)
    }

    /// The session that a node attaches to.
    pub(crate) fn session_of(&self, node: u32) -> usize {
        (node % self.sessions) as usize
    }

    /// The stream that carries a node, and its place there.
    pub(crate) fn seat_of(&self, node: u32) -> (usize, u32) {
        ((node % self.streams) as usize, node / self.streams)
    }

    /// The node of a place in a stream.
    pub(crate) fn node_at(&self, stream: usize, place: u32) -> u32 {
        place * self.streams + stream as u32
    }

    /// How many nodes a stream carries.
    pub(crate) fn nodes_of_stream(&self, stream: usize) -> u32 {
        (self.nodes + self.streams - 1 - stream as u32) / self.streams
    }

    /// How many nodes are to be silenced.
    pub(crate) fn silenced_count(&self) -> u32 {
        ((f64::from(self.nodes) * self.silenced).round() as u32).min(self.nodes)
    }

    /// Whether a node is among them.
    pub(crate) fn is_silenced(&self, node: u32) -> bool {
        u64::from(node) * SPREAD % u64::from(self.nodes) < u64::from(self.silenced_count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(nodes: u32, sessions: u32, streams: u32, silenced: f64) -> Plan {
        Plan { prefix: "load".to_owned(), nodes, sessions, streams, silenced }
    }

    #[test]
    fn a_name_leads_back_to_its_node_and_no_other_name_to_any() {
        let plan = plan(1_000, 1, 1, 0.0);
        assert_eq!(plan.name(0), "load-1");
        for node in 0..1_000 {
            assert_eq!(plan.node(&plan.name(node)), Some(node));
        }
        for name in ["load-0", "load-1001", "load-01", "load-+1", "load-", "load", "other-1", "load-1-1", ""]
        {
            assert_eq!(plan.node(name), None, "{name}");
        }
    }

    #[test]
    fn every_node_has_one_seat_and_no_seat_is_empty() {
        for (nodes, streams) in [(10, 3), (9, 3), (1, 1), (100, 7), (5, 5)] {
            let plan = plan(nodes, 1, streams, 0.0);
            let seats: Vec<_> = (0..streams as usize)
                .flat_map(|stream| (0..plan.nodes_of_stream(stream)).map(move |place| (stream, place)))
                .collect();
            assert_eq!(seats.len(), nodes as usize);
            for (stream, place) in seats {
                let node = plan.node_at(stream, place);
                assert!(node < nodes);
                assert_eq!(plan.seat_of(node), (stream, place));
            }
        }
    }

    #[test]
    fn just_the_part_that_was_asked_for_is_silenced_and_it_is_spread() {
        for (nodes, part, count) in
            [(500, 0.1, 50), (7, 0.5, 4), (100, 0.0, 0), (100, 1.0, 100), (3, 0.01, 0)]
        {
            let plan = plan(nodes, 1, 1, part);
            assert_eq!(plan.silenced_count(), count, "{nodes} {part}");
            assert_eq!((0..nodes).filter(|node| plan.is_silenced(*node)).count(), count as usize);
        }
        let plan = plan(10_000, 10, 4, 0.1);
        for session in 0..10 {
            let of_session = (0..10_000).filter(|node| plan.session_of(*node) == session);
            let silenced = of_session.filter(|node| plan.is_silenced(*node)).count();
            assert!((50..=150).contains(&silenced), "{silenced} of 1,000 in session {session}");
        }
    }
}
