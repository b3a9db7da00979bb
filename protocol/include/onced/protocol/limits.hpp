// Every limit of the protocol and of the daemon's queues, in one file. WIRE.md and README.md repeat the public ones.
//
// A limit that an operator may change has a setting of the same name in the configuration; the number here is its
// default. The others are part of the protocol: both sides rely on them.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace onced::limits {

using namespace std::chrono_literals;

// Protocol ------------------------------------------------------------------------------------------------------------
inline constexpr std::uint16_t protocol_version = 4;
inline constexpr std::size_t key_bytes_max = 32 * 1024;        // canonical key, all of it
// The parts of a value that travel in frames and lie in the segment, all together: larger ones are blobs, smaller ones that
// do not fit share one.
inline constexpr std::size_t value_bytes_max = 64 * 1024;
inline constexpr std::uint64_t part_bytes_max = std::uint64_t{4} << 30;   // a blob, too
inline constexpr std::uint64_t stored_value_bytes_max = std::uint64_t{8} << 30;  // all parts of a value
inline constexpr std::size_t parts_max = 1024;                 // parts of a value
inline constexpr std::size_t function_name_bytes_max = 256;
inline constexpr std::size_t version_bytes_max = 128;
inline constexpr std::size_t namespace_name_bytes_max = 64;
inline constexpr std::size_t client_name_bytes_max = 128;
inline constexpr std::size_t part_name_bytes_max = 128;
inline constexpr std::size_t content_type_bytes_max = 128;
inline constexpr std::size_t text_bytes_max = 4 * 1024;        // failure, progress and cause texts; longer ones are cut
inline constexpr std::size_t key_depth_max = 32;               // nesting of arguments
inline constexpr std::size_t tags_max = 16;                    // of a value
inline constexpr std::size_t tag_bytes_max = 128;
inline constexpr std::size_t dependencies_max = 256;           // of a value; their keys take 64 KiB at most
inline constexpr std::size_t dependencies_bytes_max = 64 * 1024;
inline constexpr std::uint64_t grace_ms_max = 0xffff'ffff;     // 49 days; more is cut
inline constexpr std::size_t session_id_bytes_max = 64;        // what is looked up; an id has 43
inline constexpr std::size_t session_digest_bytes_max = 64;
inline constexpr std::size_t session_rows_max = 512;           // rows in one answer; a cursor asks for more
inline constexpr std::size_t held_tokens_max = 64;             // nested computations of one thread
inline constexpr std::size_t frame_payload_bytes_max = 512 * 1024;
inline constexpr std::size_t released_blobs_max = 1024;        // named in one Release
inline constexpr std::size_t hello_frame_bytes_max = 4 * 1024; // all that is accepted before HELLO is answered
inline constexpr auto hello_deadline = 5s;

// Daemon --------------------------------------------------------------------------------------------------------------
inline constexpr std::size_t connections_max = 4096;
inline constexpr std::size_t connections_per_uid_max = 2048;   // nobody is exempt (engine/admission.hpp)
inline constexpr std::size_t requests_in_flight_per_connection_max = 4096;
// Keys, held tokens and progress texts of requests that wait and of leases; a key counts for each.
inline constexpr std::size_t under_way_bytes_per_connection_max = 4 * 1024 * 1024;
inline constexpr std::size_t under_way_bytes_max = 128 * 1024 * 1024;  // of one namespace
inline constexpr std::size_t blobs_reserved_per_connection_max = 1024;  // not yet published, or lent and not yet released
// Memory of blobs that are being filled, or only reserved: one value of the largest size, and a user's workers four of them.
inline constexpr std::uint64_t reserved_bytes_per_connection_max = stored_value_bytes_max;
inline constexpr std::uint64_t reserved_bytes_per_uid_max = 4 * stored_value_bytes_max;
// Dropped values, with their blobs, that one connection's pins keep from reuse; above: the daemon sets no more pins for it.
inline constexpr std::uint64_t pinned_bytes_per_connection_max = std::uint64_t{1} << 30;
inline constexpr std::size_t waiters_per_key_max = 4096;
inline constexpr std::size_t subscriptions_per_connection_max = 64;
inline constexpr std::size_t subscriptions_max = 4096;
inline constexpr std::size_t signals_queued_per_subscription_max = 1024;
inline constexpr std::size_t signal_history = 8192;            // signals kept for a reconnect that resumes
inline constexpr std::size_t state_entries_max = 256;          // entries in the state that a subscription starts with
inline constexpr std::size_t functions_max = 65535;            // function numbers; more share the last one
inline constexpr std::size_t invalidations_max = 1024;         // and cancellations, of more than one key, under way at once
inline constexpr std::size_t invalidations_per_connection_max = 16;
inline constexpr std::size_t invalidated_per_step_max = 256;   // entries; others are served between such steps
inline constexpr std::size_t tag_fences_max = 4096;            // invalidations of tags that are remembered for what is being computed
inline constexpr std::size_t dependency_edges_max = 256 * 1024;         // of all values to what they were computed from
inline constexpr std::size_t dependency_key_bytes_max = 32 * 1024 * 1024;  // of the keys that they name, once for each
inline constexpr std::size_t gone_values_kept_max = 4096;      // replaced, evicted or expired while computations run that may name them
inline constexpr std::size_t gone_values_key_bytes_max = 4 * 1024 * 1024;  // of their keys
// A value on disk names all that it was computed from, over all steps: keys and tags. One that would name more is kept in memory only.
inline constexpr std::size_t disk_upstreams_max = 64;
inline constexpr std::size_t disk_upstream_bytes_max = 16 * 1024;
inline constexpr std::size_t disk_upstream_looks_max = 1024;   // at edges of the graph, to find them
inline constexpr std::size_t disk_changes_max = 4096;          // of keys that are remembered for loads under way
inline constexpr std::size_t list_rows_max = 512;              // rows in one list reply; a cursor asks for more
inline constexpr std::size_t upstream_rows_max = 64;           // of a value's upstreams in one explanation
inline constexpr std::size_t failures_kept_max = 4096;         // failed answers that are still told
inline constexpr std::size_t sessions_max = 65536;             // of a namespace; its segment's table may have fewer places
inline constexpr std::size_t opened_sessions_per_connection_max = 1024;  // that are remembered: others are opened again
inline constexpr std::size_t opened_sessions_max = 256 * 1024; // the same, of one namespace
inline constexpr std::size_t sessions_checked_per_step_max = 128;  // for their end by time; others are served between such steps
inline constexpr std::uint64_t session_bytes_max = 64 * 1024 * 1024;  // of its values; the least worth goes first
inline constexpr std::size_t session_entries_max = 10'000;
inline constexpr std::size_t send_queue_bytes_max = 1024 * 1024;  // above: reading from this connection pauses
// Above so many times send_queue_bytes_max a connection is ended. One key's waiters may be on one connection: a turn can
// queue all their answers before the client has had a chance to read.
inline constexpr std::size_t send_queue_hard_factor = 16;
// What one connection may take of a turn, whatever it has sent: then others get theirs, and it goes on in a turn of its own. A
// share of time (turn_share) beside it, since requests cost more or less.
inline constexpr std::uint32_t receives_per_turn_max = 4;
inline constexpr std::uint32_t requests_per_turn_max = 256;
// What a process has sent before its death counts, up to so much: more than the kernel keeps unread for it.
inline constexpr std::size_t bytes_read_after_death_max = 512 * 1024;
// Sent by one user's clients and not yet closed; above: that user's connections are not read from.
inline constexpr std::size_t foreign_descriptors_waiting_max = 512;
inline constexpr std::size_t descriptors_closing_max = 16 * 1024;  // waiting to be closed; above: left open for good

// Times ---------------------------------------------------------------------------------------------------------------
inline constexpr auto wait_timeout_default = 5min;             // a waiter's own deadline
inline constexpr auto lease_limit_default = 1h;                // a holder's, when it declares none
inline constexpr auto take_up_deadline = 1s;                   // a re-granted lease must be taken up by then
inline constexpr auto failure_ttl_default = 5s;
inline constexpr auto session_idle_ttl_default = 30min;        // since its last use; a use by reading counts a quarter of it later at most
inline constexpr auto session_absolute_ttl_default = 24h;      // since it was made
inline constexpr auto soft_grace = 1min;                       // of a value without a grace that is invalidated softly
inline constexpr auto drain_deadline = 5s;                     // SIGTERM to exit
inline constexpr auto turn_share = 2ms;                        // of one connection's requests; then others get their turn
inline constexpr auto user_share = 1ms;                        // of all connections of a user in a round; then other users get theirs
inline constexpr auto time_word_period = 10ms;                 // granularity of expiry
inline constexpr int holder_deaths_max = 3;                    // processes in a row, then the key fails
inline constexpr auto holder_deaths_memory = 1min;             // since the last death: how long it fails, and is remembered

}  // namespace onced::limits
