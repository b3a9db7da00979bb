// One message of every type, with every field set to something that is not its default.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include <onced/protocol/key.hpp>
#include <onced/protocol/messages.hpp>

namespace onced::test {

inline std::string sample_key(int number = 7) {
  return std::string(KeyBuilder("sales", "v2").add("north").add(number).add(0.5).build().value().bytes());
}

inline const std::string sample_session_id = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";  // of the bytes 0 to 31

template <typename Message>
using Samples = std::vector<std::pair<std::string, Message>>;

inline Samples<protocol::Request> sample_requests() {
  using namespace protocol;
  const Token token{0x1122'3344'5566'7788, 42};
  return {
      {"hello", Hello{"onced", 4, "default", "gunicorn", false}},
      {"acquire", Acquire{sample_key(), false, true, 300'000, 60'000, {token, {token.epoch, 43}}, true, true, true, 90'000}},
      {"withdraw", Withdraw{9}},
      {"take_up", TakeUp{token}},
      {"publish", Publish{token, {{"", "application/json", "{\"sum\": 12}"}},
                          {5'000, 60'000, 1'500, {"sales", "größe"}, {{sample_key(), 3}}, true}}},
      {"fail", Fail{token, "division by zero in größe()", 250}},
      {"abandon", Abandon{token}},
      {"progress", Progress{token, 0.25, "reading 2 of 8"}},
      {"put", Put{sample_key(), {{"", "text/plain", std::string("a\0b", 3)}}, {.ttl_ms = 1}}},
      {"invalidate a key", Invalidate{{ScopeKind::key, sample_key()}}},
      {"invalidate a function", Invalidate{{ScopeKind::function, "sales"}}},
      {"invalidate a tag softly", Invalidate{{ScopeKind::tag, "größe"}, true}},
      {"cancel everything", Cancel{{ScopeKind::everything, ""}}},
      {"subscribe", Subscribe{{ScopeKind::function, "sales"}, token.epoch, 1000}},
      {"unsubscribe", Unsubscribe{5}},
      {"get_status", GetStatus{}},
      {"get_stats", GetStats{}},
      {"list", List{"sales", sample_key(), 65'537}},
      {"explain", Explain{sample_key()}},
      {"publish three parts", Publish{token,
                                      {{"df_1", "application/arrow", {}, 65'539, 0, 1'000'000},
                                       {"df_2", "application/arrow", {}, 65'539, 1'000'064, 500'000},
                                       {"note", "text/plain", "twelve"}},
                                      {.ttl_ms = 5'000}}},
      {"reserve", Reserve{5'000'000'000, 0x1234'5678'9abc'def0, true, sample_key()}},
      {"fetch", Fetch{65'539, 0x1234'5678'9abc'def0}},
      {"release", Release{{65'539, 131'074}}},
      {"new_session", NewSession{900'000, 3'600'000}},
      {"open_session", OpenSession{sample_session_id}},
      {"rotate_session", RotateSession{sample_session_id}},
      {"touch_session", TouchSession{65'537}},
      {"end_session", EndSession{sample_session_id}},
      {"list_sessions", ListSessions{65'537}},
      {"disk", Disk{DiskAction::verify}},
      {"subscribe to a session", Subscribe{{ScopeKind::session, "65537"}}},
  };
}

inline Samples<protocol::Reply> sample_replies() {
  using namespace protocol;
  const Token token{0x1122'3344'5566'7788, 42};
  const ListRow row{sample_key(), KeyState::computing, 3, 4096, "text/csv", 1'500'000, 2'000, 58'000, 4, "pid 4711 (gunicorn)", 2, 1024, 3, 9'000, true, 77, 6, 1'200};
  return {
      {"welcome", Welcome{4, "0.1.0", token.epoch, 17, 1U << 28U, 290'816, 4711}},
      {"value in the segment", Value{3, 0x4000, 512, {}, 1'500'000, true}},
      {"value inline", Value{3, 0, 0, {{"", "text/plain", "twelve"}}, 1'500'000, false}},
      {"value, stale", Value{3, 0x4000, 512, {}, 1'500'000, false, true}},
      {"lease", Lease{token, 3'600'000, true, LeaseCause::holder_died}},
      {"lease, queued for", Lease{token, 3'600'000, true, LeaseCause::queued}},
      {"failure", Failure{"division by zero", 120}},
      {"cancelled", Cancelled{"cancelled by pid 99 (oncectl)"}},
      {"refused", Refused{ErrorCode::timed_out, "pid 4711 (gunicorn) still computes it"}},
      {"published", Published{4, true}},
      {"published, not stored", Published{5, false, NotStored::superseded, "a value was put in its place"}},
      {"done", Done{2}},
      {"lease_lost", LeaseLost{token, LeaseEnd::superseded}},
      {"signal", Signal{SignalEvent::progress, sample_key(), token.epoch, 1001, 990, 3, 0.5, "half"}},
      {"signal, stale", Signal{SignalEvent::stale, sample_key(), token.epoch, 1002, 1001, 3, 0, ""}},
      {"signal, queued", Signal{SignalEvent::queued, sample_key(), token.epoch, 1003, 1002, 0, 0, "max_concurrent = 2", 5}},
      {"position", Position{token.epoch, 2000}},
      {"state",
       State{StateReason::slow, token.epoch, 2001,
             {{sample_key(1), KeyState::ready, 3, 0, "", 0}, {sample_key(2), KeyState::computing, 0, 0.75, "almost", 5}, {sample_key(3), KeyState::queued, 0, 0, "", 2, 3}}, true}},
      {"status_report", StatusReport{{{"version", std::string("0.1.0")}, {"pid", std::uint64_t{4711}}, {"hit_ratio", 1.0}}}},
      {"statistics", Statistics{{{"hits", std::uint64_t{12}}}, {{"sales", {{"hits", std::uint64_t{12}}, {"seconds_saved", 1.25}}}}, true}},
      {"listing", Listing{{row}, sample_key()}},
      {"explanation", Explanation{row, {"It is being computed by pid 4711 (gunicorn).", "Four others wait for it."},
                                  {{"df_1", "application/arrow", 1'000'000, 65'539}, {"note", "text/plain", 6, 0}},
                                  StaleCause::invalidated, 2'500, "pid 99 (oncectl)", 2'600,
                                  {{sample_key(8), 2, UpstreamState::outdated, true, "was replaced by pid 4711 (gunicorn)", sample_key(9)}}, 3, 4}},
      {"blob", Blob{65'539, 5'000'000'000, 0x1234'5678'9abc'def0, true}},
      {"session_opened", SessionOpened{65'537, 12, sample_session_id, 1'800'000, 86'400'000}},
      {"session_listing", SessionListing{{{65'537, "0f1e2d3c4b5a", 4096, 2, 60'000, 1'000, 1'799'000, 86'340'000}}, 65'537}},
      {"refused, session ended", Refused{ErrorCode::session_ended, "this session has ended"}},
      {"lease_lost, session ended", LeaseLost{token, LeaseEnd::session_ended}},
      {"disk_report", DiskReport{{{"values", std::uint64_t{12}}, {"task", std::string("verify")}}}},
      {"refused, not durable", Refused{ErrorCode::not_durable, "the disk fails"}},
      {"signal, session ended", Signal{SignalEvent::session_ended, "", token.epoch, 1003, 1002, 65'537, 0, "idle"}},
  };
}

}  // namespace onced::test
