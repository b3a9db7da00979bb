// The fields of every message in their order on the wire, with their names and limits: one table that encoder and
// decoder both walk. WIRE.md says the same for people; tests/golden/messages.json holds one example of each.
//
// Appending a field to a message is a line at the end of its table (and of WIRE.md's); `required` stays, so that older
// peers, which do not send it, are still understood.
#pragma once

#include <cstddef>
#include <string_view>
#include <tuple>

#include <onced/protocol/limits.hpp>
#include <onced/protocol/messages.hpp>

namespace onced::protocol {

// What a string is on the wire. Bytes and keys travel as bin, everything else as str.
struct PlainRule {};                              // numbers, booleans, enumerators, structures with tables of their own
struct NameRule { std::size_t bytes_max; };       // UTF-8, refused when longer
struct TextRule { std::size_t bytes_max; };       // UTF-8 for people, cut by the sender
struct BytesRule { std::size_t bytes_max; };
struct KeyRule {};                                // one canonical key
template <typename Element>
struct ListRule {
  std::size_t count_max;
  Element element;
};

inline constexpr TextRule text_rule{limits::text_bytes_max};

template <typename Message, typename Member, typename Rule>
struct Field {
  std::string_view name;
  Member Message::*member;
  Rule rule;
};
template <typename Message, typename Member, typename Rule = PlainRule>
constexpr Field<Message, Member, Rule> field(std::string_view name, Member Message::*member, Rule rule = {}) {
  return {name, member, rule};
}
template <typename Element = PlainRule>
constexpr ListRule<Element> list(std::size_t count_max, Element element = {}) {
  return {count_max, element};
}

// A receiver takes what comes up to these; a sender stays below so that the whole frame fits (codec.cpp, shorten()).
inline constexpr std::size_t report_fields_max = 256;
inline constexpr std::size_t functions_listed_max = 4096;
inline constexpr std::size_t explanation_lines_max = 64;

// Fields<M>::name: in errors and documents. required: leading fields that must be there. fields: the table.
template <typename Message>
struct Fields;

// ---- pieces ---------------------------------------------------------------------------------------------------------

template <>
struct Fields<Token> {
  static constexpr std::string_view name = "token";
  static constexpr std::size_t required = 2;
  static constexpr auto fields = std::make_tuple(field("epoch", &Token::epoch), field("counter", &Token::counter));
};
template <>
struct Fields<Part> {
  static constexpr std::string_view name = "part";
  static constexpr std::size_t required = 3;
  static constexpr auto fields =
      std::make_tuple(field("name", &Part::name, NameRule{limits::part_name_bytes_max}),
                      field("content_type", &Part::content_type, NameRule{limits::content_type_bytes_max}),
                      field("bytes", &Part::bytes, BytesRule{limits::value_bytes_max}), field("blob", &Part::blob),
                      field("offset", &Part::offset), field("length", &Part::length));  // codec.cpp, check()
};
template <>
struct Fields<Scope> {  // what `subject` must be depends on `kind`: codec.cpp, check()
  static constexpr std::string_view name = "scope";
  static constexpr std::size_t required = 2;
  static constexpr auto fields = std::make_tuple(field("kind", &Scope::kind),
                                                 field("subject", &Scope::subject, BytesRule{limits::key_bytes_max}));
};
template <>
struct Fields<Dependency> {
  static constexpr std::string_view name = "dependency";
  static constexpr std::size_t required = 2;
  static constexpr auto fields = std::make_tuple(field("key", &Dependency::key, KeyRule{}), field("version", &Dependency::version));
};
template <>
struct Fields<Retention> {
  static constexpr std::string_view name = "retention";
  static constexpr std::size_t required = 0;
  static constexpr auto fields = std::make_tuple(
      field("ttl_ms", &Retention::ttl_ms), field("grace_ms", &Retention::grace_ms),
      field("refresh_ahead_permille", &Retention::refresh_ahead_permille),
      field("tags", &Retention::tags, list(limits::tags_max, NameRule{limits::tag_bytes_max})),
      field("depends_on", &Retention::depends_on, list(limits::dependencies_max)),
      field("retire_older", &Retention::retire_older), field("durable", &Retention::durable));
};
template <>
struct Fields<KeyStateEntry> {
  static constexpr std::string_view name = "key_state_entry";
  static constexpr std::size_t required = 6;
  static constexpr auto fields =
      std::make_tuple(field("key", &KeyStateEntry::key, KeyRule{}), field("state", &KeyStateEntry::state),
                      field("version", &KeyStateEntry::version), field("fraction", &KeyStateEntry::fraction),
                      field("text", &KeyStateEntry::text, text_rule), field("waiting", &KeyStateEntry::waiting),
                      field("queue_position", &KeyStateEntry::queue_position));
};
template <>
struct Fields<FunctionStatistics> {
  static constexpr std::string_view name = "function_statistics";
  static constexpr std::size_t required = 2;
  static constexpr auto fields =
      std::make_tuple(field("function", &FunctionStatistics::function, NameRule{limits::function_name_bytes_max}),
                      field("fields", &FunctionStatistics::fields, list(report_fields_max)));
};
template <>
struct Fields<ListRow> {
  static constexpr std::string_view name = "list_row";
  static constexpr std::size_t required = 10;
  static constexpr auto fields = std::make_tuple(
      field("key", &ListRow::key, KeyRule{}), field("state", &ListRow::state), field("version", &ListRow::version),
      field("bytes", &ListRow::bytes),
      field("content_type", &ListRow::content_type, NameRule{limits::content_type_bytes_max}),
      field("cost_us", &ListRow::cost_us), field("age_ms", &ListRow::age_ms), field("ttl_left_ms", &ListRow::ttl_left_ms),
      field("waiting", &ListRow::waiting), field("holder", &ListRow::holder, text_rule), field("parts", &ListRow::parts),
      field("blob_bytes", &ListRow::blob_bytes), field("pins", &ListRow::pins),
      field("grace_left_ms", &ListRow::grace_left_ms), field("stale", &ListRow::stale), field("hits", &ListRow::hits),
      field("queue_position", &ListRow::queue_position), field("under_way_ms", &ListRow::under_way_ms));
};
template <>
struct Fields<UpstreamRow> {
  static constexpr std::string_view name = "upstream_row";
  static constexpr std::size_t required = 6;
  static constexpr auto fields =
      std::make_tuple(field("key", &UpstreamRow::key, KeyRule{}), field("version", &UpstreamRow::version),
                      field("state", &UpstreamRow::state), field("present", &UpstreamRow::present),
                      field("text", &UpstreamRow::text, text_rule),
                      field("origin", &UpstreamRow::origin, BytesRule{limits::key_bytes_max}));  // codec.cpp, check()
};
template <>
struct Fields<PartRow> {
  static constexpr std::string_view name = "part_row";
  static constexpr std::size_t required = 4;
  static constexpr auto fields =
      std::make_tuple(field("name", &PartRow::name, NameRule{limits::part_name_bytes_max}),
                      field("content_type", &PartRow::content_type, NameRule{limits::content_type_bytes_max}),
                      field("bytes", &PartRow::bytes), field("blob", &PartRow::blob));
};

// ---- client to daemon -----------------------------------------------------------------------------------------------

template <>
struct Fields<Hello> {
  static constexpr std::string_view name = "hello";
  // Those that every version of the protocol has, so that a peer of another one is told about the version.
  static constexpr std::size_t required = 2;
  static constexpr auto fields =
      std::make_tuple(field("magic", &Hello::magic, NameRule{16}), field("protocol_version", &Hello::protocol_version),
                      field("namespace_name", &Hello::namespace_name, NameRule{limits::namespace_name_bytes_max}),
                      field("client_name", &Hello::client_name, TextRule{limits::client_name_bytes_max}),
                      field("wants_mapping", &Hello::wants_mapping));
};
template <>
struct Fields<Acquire> {
  static constexpr std::string_view name = "acquire";
  static constexpr std::size_t required = 1;
  static constexpr auto fields = std::make_tuple(
      field("key", &Acquire::key, KeyRule{}), field("may_compute", &Acquire::may_compute),
      field("force", &Acquire::force), field("wait_ms", &Acquire::wait_ms),
      field("lease_limit_ms", &Acquire::lease_limit_ms), field("held", &Acquire::held, list(limits::held_tokens_max)),
      field("accept_stale", &Acquire::accept_stale), field("refresh", &Acquire::refresh),
      field("background", &Acquire::background), field("load_ms", &Acquire::load_ms));
};
template <>
struct Fields<Withdraw> {
  static constexpr std::string_view name = "withdraw";
  static constexpr std::size_t required = 1;
  static constexpr auto fields = std::make_tuple(field("target", &Withdraw::target));
};
template <>
struct Fields<TakeUp> {
  static constexpr std::string_view name = "take_up";
  static constexpr std::size_t required = 1;
  static constexpr auto fields = std::make_tuple(field("token", &TakeUp::token));
};
template <>
struct Fields<Publish> {
  static constexpr std::string_view name = "publish";
  static constexpr std::size_t required = 2;
  static constexpr auto fields =
      std::make_tuple(field("token", &Publish::token), field("parts", &Publish::parts, list(limits::parts_max)),
                      field("retention", &Publish::retention));
};
template <>
struct Fields<Fail> {
  static constexpr std::string_view name = "fail";
  static constexpr std::size_t required = 2;
  static constexpr auto fields = std::make_tuple(field("token", &Fail::token), field("text", &Fail::text, text_rule),
                                                 field("failure_ttl_ms", &Fail::failure_ttl_ms));
};
template <>
struct Fields<Abandon> {
  static constexpr std::string_view name = "abandon";
  static constexpr std::size_t required = 1;
  static constexpr auto fields = std::make_tuple(field("token", &Abandon::token));
};
template <>
struct Fields<Progress> {
  static constexpr std::string_view name = "progress";
  static constexpr std::size_t required = 2;
  static constexpr auto fields = std::make_tuple(field("token", &Progress::token), field("fraction", &Progress::fraction),
                                                 field("text", &Progress::text, text_rule));
};
template <>
struct Fields<Put> {
  static constexpr std::string_view name = "put";
  static constexpr std::size_t required = 2;
  static constexpr auto fields =
      std::make_tuple(field("key", &Put::key, KeyRule{}), field("parts", &Put::parts, list(limits::parts_max)),
                      field("retention", &Put::retention));
};
template <>
struct Fields<Invalidate> {
  static constexpr std::string_view name = "invalidate";
  static constexpr std::size_t required = 1;
  static constexpr auto fields = std::make_tuple(field("scope", &Invalidate::scope), field("soft", &Invalidate::soft));
};
template <>
struct Fields<Cancel> {
  static constexpr std::string_view name = "cancel";
  static constexpr std::size_t required = 1;
  static constexpr auto fields = std::make_tuple(field("scope", &Cancel::scope));
};
template <>
struct Fields<Subscribe> {
  static constexpr std::string_view name = "subscribe";
  static constexpr std::size_t required = 1;
  static constexpr auto fields =
      std::make_tuple(field("scope", &Subscribe::scope), field("resume_epoch", &Subscribe::resume_epoch),
                      field("resume_sequence", &Subscribe::resume_sequence));
};
template <>
struct Fields<Unsubscribe> {
  static constexpr std::string_view name = "unsubscribe";
  static constexpr std::size_t required = 1;
  static constexpr auto fields = std::make_tuple(field("target", &Unsubscribe::target));
};
template <>
struct Fields<GetStatus> {
  static constexpr std::string_view name = "get_status";
  static constexpr std::size_t required = 0;
  static constexpr auto fields = std::make_tuple();
};
template <>
struct Fields<GetStats> {
  static constexpr std::string_view name = "get_stats";
  static constexpr std::size_t required = 0;
  static constexpr auto fields = std::make_tuple();
};
template <>
struct Fields<List> {
  static constexpr std::string_view name = "list";
  static constexpr std::size_t required = 0;
  static constexpr auto fields =
      std::make_tuple(field("function", &List::function, NameRule{limits::function_name_bytes_max}),
                      field("cursor", &List::cursor, BytesRule{limits::key_bytes_max}), field("session", &List::session));
};
template <>
struct Fields<Explain> {
  static constexpr std::string_view name = "explain";
  static constexpr std::size_t required = 1;
  static constexpr auto fields = std::make_tuple(field("key", &Explain::key, KeyRule{}));
};

template <>
struct Fields<Reserve> {
  static constexpr std::string_view name = "reserve";
  static constexpr std::size_t required = 2;
  static constexpr auto fields =
      std::make_tuple(field("bytes", &Reserve::bytes), field("receipt", &Reserve::receipt), field("ready", &Reserve::ready),
                      field("key", &Reserve::key, BytesRule{limits::key_bytes_max}));  // codec.cpp, check()
};
template <>
struct Fields<Fetch> {
  static constexpr std::string_view name = "fetch";
  static constexpr std::size_t required = 2;
  static constexpr auto fields = std::make_tuple(field("blob", &Fetch::blob), field("receipt", &Fetch::receipt));
};
template <>
struct Fields<Release> {
  static constexpr std::string_view name = "release";
  static constexpr std::size_t required = 1;
  static constexpr auto fields = std::make_tuple(field("blobs", &Release::blobs, list(limits::released_blobs_max)));
};

template <>
struct Fields<NewSession> {
  static constexpr std::string_view name = "new_session";
  static constexpr std::size_t required = 0;
  static constexpr auto fields = std::make_tuple(field("idle_ttl_ms", &NewSession::idle_ttl_ms),
                                                 field("absolute_ttl_ms", &NewSession::absolute_ttl_ms));
};
template <>
struct Fields<OpenSession> {
  static constexpr std::string_view name = "open_session";
  static constexpr std::size_t required = 1;
  static constexpr auto fields = std::make_tuple(field("id", &OpenSession::id, NameRule{limits::session_id_bytes_max}));
};
template <>
struct Fields<RotateSession> {
  static constexpr std::string_view name = "rotate_session";
  static constexpr std::size_t required = 1;
  static constexpr auto fields = std::make_tuple(field("id", &RotateSession::id, NameRule{limits::session_id_bytes_max}));
};
template <>
struct Fields<TouchSession> {
  static constexpr std::string_view name = "touch_session";
  static constexpr std::size_t required = 1;
  static constexpr auto fields = std::make_tuple(field("number", &TouchSession::number));
};
template <>
struct Fields<EndSession> {
  static constexpr std::string_view name = "end_session";
  static constexpr std::size_t required = 1;
  static constexpr auto fields = std::make_tuple(field("id", &EndSession::id, NameRule{limits::session_id_bytes_max}));
};
template <>
struct Fields<ListSessions> {
  static constexpr std::string_view name = "list_sessions";
  static constexpr std::size_t required = 0;
  static constexpr auto fields = std::make_tuple(field("cursor", &ListSessions::cursor));
};
template <>
struct Fields<Disk> {
  static constexpr std::string_view name = "disk";
  static constexpr std::size_t required = 1;
  static constexpr auto fields = std::make_tuple(field("action", &Disk::action));
};

// ---- daemon to client -----------------------------------------------------------------------------------------------

template <>
struct Fields<Welcome> {
  static constexpr std::string_view name = "welcome";
  static constexpr std::size_t required = 7;
  static constexpr auto fields =
      std::make_tuple(field("protocol_version", &Welcome::protocol_version),
                      field("daemon_version", &Welcome::daemon_version, text_rule), field("epoch", &Welcome::epoch),
                      field("connection", &Welcome::connection), field("segment_bytes", &Welcome::segment_bytes),
                      field("pin_page_bytes", &Welcome::pin_page_bytes), field("daemon_pid", &Welcome::daemon_pid));
};
template <>
struct Fields<Value> {
  static constexpr std::string_view name = "value";
  static constexpr std::size_t required = 6;
  static constexpr auto fields =
      std::make_tuple(field("version", &Value::version), field("record", &Value::record), field("pin", &Value::pin),
                      field("parts", &Value::parts, list(limits::parts_max)), field("cost_us", &Value::cost_us),
                      field("waited", &Value::waited), field("stale", &Value::stale));
};
template <>
struct Fields<Lease> {
  static constexpr std::string_view name = "lease";
  static constexpr std::size_t required = 4;
  static constexpr auto fields = std::make_tuple(field("token", &Lease::token), field("limit_ms", &Lease::limit_ms),
                                                 field("take_up", &Lease::take_up), field("cause", &Lease::cause));
};
template <>
struct Fields<Failure> {
  static constexpr std::string_view name = "failure";
  static constexpr std::size_t required = 2;
  static constexpr auto fields =
      std::make_tuple(field("text", &Failure::text, text_rule), field("age_ms", &Failure::age_ms));
};
template <>
struct Fields<Cancelled> {
  static constexpr std::string_view name = "cancelled";
  static constexpr std::size_t required = 1;
  static constexpr auto fields = std::make_tuple(field("text", &Cancelled::text, text_rule));
};
template <>
struct Fields<Refused> {
  static constexpr std::string_view name = "refused";
  static constexpr std::size_t required = 2;
  static constexpr auto fields = std::make_tuple(field("code", &Refused::code), field("text", &Refused::text, text_rule));
};
template <>
struct Fields<Published> {
  static constexpr std::string_view name = "published";
  static constexpr std::size_t required = 2;
  static constexpr auto fields =
      std::make_tuple(field("version", &Published::version), field("stored", &Published::stored), field("why", &Published::why),
                      field("text", &Published::text, text_rule), field("durable", &Published::durable));
};
template <>
struct Fields<Done> {
  static constexpr std::string_view name = "done";
  static constexpr std::size_t required = 1;
  static constexpr auto fields = std::make_tuple(field("count", &Done::count));
};
template <>
struct Fields<LeaseLost> {
  static constexpr std::string_view name = "lease_lost";
  static constexpr std::size_t required = 2;
  static constexpr auto fields = std::make_tuple(field("token", &LeaseLost::token), field("why", &LeaseLost::why));
};
template <>
struct Fields<Signal> {
  static constexpr std::string_view name = "signal";
  static constexpr std::size_t required = 8;
  static constexpr auto fields =
      std::make_tuple(field("event", &Signal::event), field("key", &Signal::key, BytesRule{limits::key_bytes_max}),  // codec.cpp, check()
                      field("epoch", &Signal::epoch), field("sequence", &Signal::sequence),
                      field("previous", &Signal::previous), field("version", &Signal::version),
                      field("fraction", &Signal::fraction), field("text", &Signal::text, text_rule),
                      field("queue_position", &Signal::queue_position));
};
template <>
struct Fields<Position> {
  static constexpr std::string_view name = "position";
  static constexpr std::size_t required = 2;
  static constexpr auto fields =
      std::make_tuple(field("epoch", &Position::epoch), field("sequence", &Position::sequence));
};
template <>
struct Fields<State> {
  static constexpr std::string_view name = "state";
  static constexpr std::size_t required = 5;
  static constexpr auto fields =
      std::make_tuple(field("reason", &State::reason), field("epoch", &State::epoch), field("sequence", &State::sequence),
                      field("entries", &State::entries, list(limits::state_entries_max)),
                      field("truncated", &State::truncated));
};
template <>
struct Fields<StatusReport> {
  static constexpr std::string_view name = "status_report";
  static constexpr std::size_t required = 1;
  static constexpr auto fields = std::make_tuple(field("fields", &StatusReport::fields, list(report_fields_max)));
};
template <>
struct Fields<Statistics> {
  static constexpr std::string_view name = "statistics";
  static constexpr std::size_t required = 2;
  static constexpr auto fields =
      std::make_tuple(field("fields", &Statistics::fields, list(report_fields_max)),
                      field("functions", &Statistics::functions, list(functions_listed_max)),
                      field("truncated", &Statistics::truncated));
};
template <>
struct Fields<Listing> {
  static constexpr std::string_view name = "listing";
  static constexpr std::size_t required = 2;
  static constexpr auto fields =
      std::make_tuple(field("rows", &Listing::rows, list(limits::list_rows_max)),
                      field("cursor", &Listing::cursor, BytesRule{limits::key_bytes_max}));
};
template <>
struct Fields<Explanation> {
  static constexpr std::string_view name = "explanation";
  static constexpr std::size_t required = 2;
  static constexpr auto fields =
      std::make_tuple(field("row", &Explanation::row),
                      field("lines", &Explanation::lines, list(explanation_lines_max, text_rule)),
                      field("parts", &Explanation::parts, list(limits::parts_max)),
                      field("stale_cause", &Explanation::stale_cause), field("stale_ms", &Explanation::stale_ms),
                      field("softened_by", &Explanation::softened_by, text_rule),
                      field("softened_ms", &Explanation::softened_ms),
                      field("upstreams", &Explanation::upstreams, list(limits::upstream_rows_max)),
                      field("upstreams_all", &Explanation::upstreams_all),
                      field("dependants", &Explanation::dependants));
};
template <>
struct Fields<Blob> {
  static constexpr std::string_view name = "blob";
  static constexpr std::size_t required = 3;
  static constexpr auto fields =
      std::make_tuple(field("blob", &Blob::blob), field("bytes", &Blob::bytes), field("receipt", &Blob::receipt),
                      field("file", &Blob::file));
};

template <>
struct Fields<SessionOpened> {
  static constexpr std::string_view name = "session_opened";
  static constexpr std::size_t required = 5;
  static constexpr auto fields =
      std::make_tuple(field("number", &SessionOpened::number), field("generation", &SessionOpened::generation),
                      field("id", &SessionOpened::id, NameRule{limits::session_id_bytes_max}),
                      field("idle_ttl_ms", &SessionOpened::idle_ttl_ms),
                      field("absolute_left_ms", &SessionOpened::absolute_left_ms));
};
template <>
struct Fields<SessionRow> {
  static constexpr std::string_view name = "session_row";
  static constexpr std::size_t required = 8;
  static constexpr auto fields =
      std::make_tuple(field("number", &SessionRow::number),
                      field("digest", &SessionRow::digest, NameRule{limits::session_digest_bytes_max}),
                      field("bytes", &SessionRow::bytes), field("entries", &SessionRow::entries),
                      field("age_ms", &SessionRow::age_ms), field("idle_ms", &SessionRow::idle_ms),
                      field("idle_left_ms", &SessionRow::idle_left_ms),
                      field("absolute_left_ms", &SessionRow::absolute_left_ms));
};
template <>
struct Fields<SessionListing> {
  static constexpr std::string_view name = "session_listing";
  static constexpr std::size_t required = 2;
  static constexpr auto fields =
      std::make_tuple(field("rows", &SessionListing::rows, list(limits::session_rows_max)),
                      field("cursor", &SessionListing::cursor));
};
template <>
struct Fields<DiskReport> {
  static constexpr std::string_view name = "disk_report";
  static constexpr std::size_t required = 1;
  static constexpr auto fields = std::make_tuple(field("fields", &DiskReport::fields, list(report_fields_max)));
};

// ---- enumerators ----------------------------------------------------------------------------------------------------

// The last one that this version knows: a higher number is refused.
template <typename Enum>
inline constexpr Enum last_of = Enum{};
template <>
inline constexpr ScopeKind last_of<ScopeKind> = ScopeKind::session;
template <>
inline constexpr LeaseCause last_of<LeaseCause> = LeaseCause::queued;
template <>
inline constexpr LeaseEnd last_of<LeaseEnd> = LeaseEnd::session_ended;
template <>
inline constexpr SignalEvent last_of<SignalEvent> = SignalEvent::loaded;
template <>
inline constexpr KeyState last_of<KeyState> = KeyState::queued;
template <>
inline constexpr NotStored last_of<NotStored> = NotStored::function_full;
template <>
inline constexpr UpstreamState last_of<UpstreamState> = UpstreamState::invalidated;
template <>
inline constexpr StaleCause last_of<StaleCause> = StaleCause::upstream;
template <>
inline constexpr StateReason last_of<StateReason> = StateReason::other_epoch;
template <>
inline constexpr ErrorCode last_of<ErrorCode> = ErrorCode::not_durable;
template <>
inline constexpr DiskAction last_of<DiskAction> = DiskAction::stop;

}  // namespace onced::protocol
