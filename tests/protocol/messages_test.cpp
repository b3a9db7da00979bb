#include <algorithm>
#include <cmath>
#include <string>

#include <doctest/doctest.h>
#include <rapidcheck.h>

#include <onced/protocol/frame.hpp>
#include <onced/protocol/limits.hpp>
#include <onced/protocol/messages.hpp>

#include "hex.hpp"
#include "sample_messages.hpp"

using namespace onced;
using namespace onced::protocol;
using onced::test::bytes;
using onced::test::sample_key;

namespace {

std::string_view payload_of(std::string_view frame) { return frame.substr(frame_header_bytes); }

template <typename Message>
Result<Message> decode(std::uint16_t type, std::string_view payload);
template <>
Result<Request> decode(std::uint16_t type, std::string_view payload) { return decode_request(type, payload); }
template <>
Result<Reply> decode(std::uint16_t type, std::string_view payload) { return decode_reply(type, payload); }

template <typename Message>
std::string encoded(const Message& message) {
  std::string frame;
  encode(1, message, frame);
  return frame;
}

// What a message says is its bytes: two are the same when they encode alike.
template <typename Message>
void check_round_trip(const test::Samples<Message>& samples) {
  for (const auto& [name, message] : samples) {
    CAPTURE(name);
    const std::string frame = encoded(message);
    const Result<Message> again = decode<Message>(type_of(message), payload_of(frame));
    REQUIRE(again.ok());
    CHECK(again->index() == message.index());
    CHECK(test::hex(encoded(*again)) == test::hex(frame));
  }
}

template <typename Message>
void check_cuts(const test::Samples<Message>& samples) {
  for (const auto& [name, message] : samples) {
    const std::string frame = encoded(message);
    const std::string_view payload = payload_of(frame);
    for (std::size_t cut = 0; cut < payload.size(); ++cut) {
      CAPTURE(name);
      CAPTURE(cut);
      const Result<Message> result = decode<Message>(type_of(message), payload.substr(0, cut));
      REQUIRE_FALSE(result.ok());
      CHECK(result.error().code == ErrorCode::malformed);
    }
    const Result<Message> longer = decode<Message>(type_of(message), std::string(payload) + '\xc0');
    REQUIRE_FALSE(longer.ok());
    CHECK(longer.error().code == ErrorCode::malformed);
  }
}

// Whatever a flipped bit makes of a message: it is refused, or it is a message, and then a stable one.
template <typename Message>
void check_flips(const test::Samples<Message>& samples) {
  std::size_t refused = 0;
  for (const auto& [name, message] : samples) {
    const std::string frame = encoded(message);
    for (std::size_t bit = 0; bit < 8 * payload_of(frame).size(); ++bit) {
      std::string flipped(payload_of(frame));
      flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
      const Result<Message> first = decode<Message>(type_of(message), flipped);
      if (!first.ok()) {
        ++refused;
        CHECK_FALSE(first.error().text.empty());
        continue;
      }
      const std::string once = encoded(*first);
      const Result<Message> second = decode<Message>(type_of(*first), payload_of(once));
      CAPTURE(name);
      CAPTURE(bit);
      REQUIRE(second.ok());
      REQUIRE(encoded(*second) == once);
    }
  }
  CHECK(refused > 100);
}

Error refusal(std::uint16_t type, std::string_view payload) {
  const Result<Request> result = decode_request(type, payload);
  REQUIRE_FALSE(result.ok());
  return result.error();
}

std::uint16_t type(const Request& request) { return type_of(request); }

}  // namespace

TEST_CASE("every message survives the way to bytes and back") {
  check_round_trip(test::sample_requests());
  check_round_trip(test::sample_replies());
}

TEST_CASE("every type has a sample") {
  std::vector<bool> requests(std::variant_size_v<Request::Variant>);
  for (const auto& sample : test::sample_requests()) requests[sample.second.index()] = true;
  CHECK(std::find(requests.begin(), requests.end(), false) == requests.end());
  std::vector<bool> replies(std::variant_size_v<Reply::Variant>);
  for (const auto& sample : test::sample_replies()) replies[sample.second.index()] = true;
  CHECK(std::find(replies.begin(), replies.end(), false) == replies.end());
}

TEST_CASE("a payload cut anywhere, or one byte longer, is refused") {
  check_cuts(test::sample_requests());
  check_cuts(test::sample_replies());
}

TEST_CASE("a flipped bit gives a refusal or a message that is stable") {
  check_flips(test::sample_requests());
  check_flips(test::sample_replies());
}

TEST_CASE("random bytes are refused or give a stable message, whatever type they claim") {
  rc::check([](std::uint16_t number, const std::string& payload) {
    const auto request_type = static_cast<std::uint16_t>(number % 96);
    if (const auto request = decode_request(request_type, payload); request.ok())
      RC_ASSERT(decode_request(type_of(*request), payload_of(encoded(*request))).ok());
    if (const auto reply = decode_reply(request_type, payload); reply.ok())
      RC_ASSERT(decode_reply(type_of(*reply), payload_of(encoded(*reply))).ok());
  });
}

TEST_CASE("fields have the values that were sent, not those of their neighbours") {
  const Acquire sent{sample_key(), false, true, 300'000, 60'000, {{1, 2}, {3, 4}}};
  const auto result = decode_request(2, payload_of(encoded(Request(sent))));
  REQUIRE(result.ok());
  const auto& acquire = std::get<Acquire>(*result);
  CHECK(acquire.key == sent.key);
  CHECK_FALSE(acquire.may_compute);
  CHECK(acquire.force);
  CHECK(acquire.wait_ms == 300'000);
  CHECK(acquire.lease_limit_ms == 60'000);
  CHECK(acquire.held == sent.held);
}

TEST_CASE("a frame carries the type and the id it was given, and appends to what is there") {
  std::string out = "before";
  encode(0x0102030405060708, Request(Withdraw{9}), out);
  CHECK(test::hex(std::string_view(out).substr(6)) == "02000000" "0300" "0000" "0807060504030201" "91" "09");
}

TEST_CASE("types are numbered in order: requests from 1, replies from 64") {
  CHECK(type(Hello{}) == 1);
  CHECK(type(Acquire{}) == 2);
  CHECK(type(Explain{}) == 17);
  CHECK(type_of(Reply(Welcome{})) == 64);
  CHECK(type_of(Reply(Explanation{})) == 79);
  for (const int unknown : {0, 18, 63, 64, 65535})
    CHECK(refusal(static_cast<std::uint16_t>(unknown), bytes("90")).code == ErrorCode::malformed);
  for (const int unknown : {0, 1, 63, 80, 65535}) CHECK_FALSE(decode_reply(static_cast<std::uint16_t>(unknown), bytes("90")).ok());
}

TEST_CASE("fields that an older peer does not send have their defaults") {
  std::string payload = bytes("91 c4");
  payload.push_back(static_cast<char>(sample_key().size()));
  payload += sample_key();
  const auto result = decode_request(type(Acquire{}), payload);
  REQUIRE(result.ok());
  const auto& acquire = std::get<Acquire>(*result);
  CHECK(acquire.key == sample_key());
  CHECK(acquire.may_compute);
  CHECK_FALSE(acquire.force);
  CHECK(acquire.held.empty());
}

TEST_CASE("fields that a newer peer sends besides are ignored, whatever they hold") {
  for (const char* extra : {"07", "c0", "a3616263", "c403010203", "82a16101a16292c3cb3ff0000000000000", "c70c0500112233445566778899aabb"}) {
    CAPTURE(extra);
    const auto result = decode_request(type(Withdraw{}), bytes(std::string("92 09") + extra));
    REQUIRE(result.ok());
    CHECK(std::get<Withdraw>(*result).target == 9);
  }
  // Inside of a structure that is a field, too.
  const auto nested = decode_request(type(TakeUp{}), bytes("91 93 01 02 a3616263"));
  REQUIRE(nested.ok());
  CHECK(std::get<TakeUp>(*nested).token == Token{1, 2});
}

TEST_CASE("a message without the fields that must be there is refused") {
  CHECK(refusal(type(Acquire{}), bytes("90")).text == "acquire: has 0 fields, of 1 that must be there");
  CHECK(refusal(type(TakeUp{}), bytes("91 91 01")).text == "take_up.token: has 1 fields, of 2 that must be there");
}

TEST_CASE("a wrong type is refused with the field's name") {
  CHECK(refusal(type(Withdraw{}), bytes("91 a139")).text == "withdraw.target: is not a number from 0");
  CHECK(refusal(type(Withdraw{}), bytes("91 ff")).text == "withdraw.target: is not a number from 0");
  CHECK(refusal(type(Withdraw{}), bytes("91 cb3ff0000000000000")).text == "withdraw.target: is not a number from 0");
  CHECK(refusal(type(TakeUp{}), bytes("91 92 01 c0")).text == "take_up.token.counter: is not a number from 0");
  CHECK(refusal(type(TakeUp{}), bytes("91 81 01 02")).text == "take_up.token: is not an array");
  CHECK(refusal(type(Withdraw{}), bytes("81 01 02")).text == "withdraw: is not an array");
  CHECK(refusal(type(Explain{}), bytes("91 a6 94c0a166a090")).text == "explain.key: is not bytes");
  CHECK(refusal(type(Hello{}), bytes("92 a56f6e636564 ce00010000")).text == "hello.protocol_version: 65536 > 65535");
  CHECK(refusal(type(Hello{}), bytes("95 a56f6e636564 04 a0 a0 01")).text == "hello.wants_mapping: is not true or false");
}

TEST_CASE("a hello of another protocol is refused, one of another version is understood") {
  CHECK(refusal(type(Hello{}), bytes("92 a5 7265646973 01")).text == "hello: does not begin with \"onced\"");
  // What follows the version may be anything: the peer can still be told that its version is another one.
  for (const char* other : {"92 a5 6f6e636564 07", "93 a5 6f6e636564 07 80", "93 a5 6f6e636564 07 c3"}) {
    const auto hello = decode_request(type(Hello{}), bytes(other));
    REQUIRE(hello.ok());
    CHECK(std::get<Hello>(*hello).protocol_version == 7);
    CHECK(std::get<Hello>(*hello).namespace_name.empty());
  }
  CHECK(refusal(type(Hello{}), bytes("93 a5 6f6e636564 04 80")).text == "hello.namespace_name: is not text");
}

TEST_CASE("enumerators that we do not know are refused") {
  CHECK(refusal(type(Cancel{}), bytes("91 92 05 c400")).text == "cancel.scope.kind: has no meaning for 5");
  CHECK_FALSE(decode_reply(66, bytes("94 9201 02 00 c2 09")).ok());
  CHECK_FALSE(decode_reply(69, bytes("92 13 a0")).ok());
}

TEST_CASE("a scope names what its kind says and nothing else") {
  CHECK(refusal(type(Cancel{}), bytes("91 92 00 c403 616263")).code == ErrorCode::malformed);
  CHECK(refusal(type(Cancel{}), bytes("91 92 01 c400")).text == "cancel.scope: is no function name");
  CHECK(refusal(type(Cancel{}), bytes("91 92 01 c401 ff")).text == "cancel.scope: is no function name");
  CHECK(refusal(type(Cancel{}), bytes("91 92 02 c401 61")).text == "cancel.scope: names everything and something besides");
  CHECK(refusal(type(Cancel{}), bytes("91 92 01 c50101") + std::string(257, 'f')).code == ErrorCode::too_large);
}

TEST_CASE("a key that is not canonical is refused with the reason") {
  const Error error = refusal(type(Explain{}), bytes("91 c408 94c0a166a091cc01"));
  CHECK(error.code == ErrorCode::malformed);
  CHECK(error.text == "explain.key: a key holds a value that is not in its shortest encoding (at byte 6)");
}

TEST_CASE("lengths above their limit are refused, whether the bytes are there or not") {
  const Token token{1, 2};
  Publish publish{token, {{"", "", std::string(limits::value_bytes_max, 'x')}}, 0};
  CHECK(decode_request(5, payload_of(encoded(Request(publish)))).ok());
  publish.parts[0].bytes.push_back('x');
  CHECK(refusal(5, payload_of(encoded(Request(publish)))).text == "publish.parts.bytes: bytes 65537 > 65536");
  publish.parts.assign(limits::parts_max, {"", "", ""});
  CHECK(decode_request(5, payload_of(encoded(Request(publish)))).ok());
  publish.parts.push_back({"more", "", ""});
  CHECK(refusal(5, payload_of(encoded(Request(publish)))).text == "publish.parts: elements 1025 > 1024");
  publish.parts = {{std::string(129, 'n'), "", ""}};
  CHECK(refusal(5, payload_of(encoded(Request(publish)))).code == ErrorCode::too_large);

  Acquire acquire;
  acquire.key = sample_key();
  acquire.held.resize(limits::held_tokens_max);
  CHECK(decode_request(2, payload_of(encoded(Request(acquire)))).ok());
  acquire.held.resize(limits::held_tokens_max + 1);
  CHECK(refusal(2, payload_of(encoded(Request(acquire)))).text == "acquire.held: elements 65 > 64");

  Hello hello{"onced", limits::protocol_version, std::string(65, 'n'), "", true};
  CHECK(refusal(1, payload_of(encoded(Request(hello)))).text == "hello.namespace_name: bytes 65 > 64");

  // Declared and not sent: arrays, maps, text, bytes, extensions.
  for (const char* claim : {"91 ddffffffff", "91 dfffffffff", "91 dbffffffff", "91 c6ffffffff", "91 c9ffffffff05", "ddffffffff", "dcffff", "dfffffffff"}) {
    CAPTURE(claim);
    const Error error = refusal(type(Withdraw{}), bytes(claim));
    CHECK((error.code == ErrorCode::malformed || error.code == ErrorCode::too_large));
  }
}

TEST_CASE("what keeps a value is bounded: tags, dependencies and their bytes") {
  Put put{sample_key(), {{"", "", "v"}}, {}};
  put.retention.tags.assign(limits::tags_max, std::string(limits::tag_bytes_max, 't'));
  put.retention.depends_on.assign(limits::dependencies_max, {sample_key(), 1});
  CHECK(decode_request(9, payload_of(encoded(Request(put)))).ok());
  const auto with = [&](const auto& change) {
    Put changed = put;
    change(changed.retention);
    return refusal(9, payload_of(encoded(Request(changed)))).text;
  };
  CHECK(with([](Retention& r) { r.tags.emplace_back("one more"); }) == "put.retention.tags: elements 17 > 16");
  CHECK(with([](Retention& r) { r.tags[0].push_back('t'); }) == "put.retention.tags: bytes 129 > 128");
  CHECK(with([](Retention& r) { r.tags[0].clear(); }) == "put.retention: has a tag without a name");
  CHECK(with([](Retention& r) { r.depends_on.push_back(r.depends_on[0]); }) == "put.retention.depends_on: elements 257 > 256");
  CHECK(with([](Retention& r) { r.depends_on.assign(256, {std::string(KeyBuilder("f").add(std::string(300, 'k')).build()->bytes()), 1}); })
            .find("> 65536") != std::string::npos);
}

TEST_CASE("a tag is a scope of Invalidate alone") {
  const Scope tag{ScopeKind::tag, "sales"};
  CHECK(decode_request(10, payload_of(encoded(Request(Invalidate{tag, true})))).ok());
  CHECK(refusal(11, payload_of(encoded(Request(Cancel{tag})))).text == "cancel: is about a tag, which only Invalidate takes");
  CHECK(refusal(12, payload_of(encoded(Request(Subscribe{tag})))).text == "subscribe: is about a tag, which only Invalidate takes");
  CHECK(refusal(10, payload_of(encoded(Request(Invalidate{{ScopeKind::tag, ""}})))).text == "invalidate.scope: is no tag");
}

TEST_CASE("a session is a scope by its number, in one spelling") {
  CHECK(decode_request(12, payload_of(encoded(Request(Subscribe{{ScopeKind::session, "65537"}})))).ok());
  CHECK(decode_request(10, payload_of(encoded(Request(Invalidate{{ScopeKind::session, "65537"}})))).ok());
  CHECK(refusal(12, payload_of(encoded(Request(Subscribe{{ScopeKind::session, "065537"}})))).text == "subscribe.scope: is no number of a session");
  CHECK(refusal(12, payload_of(encoded(Request(Subscribe{{ScopeKind::session, ""}})))).text == "subscribe.scope: is no number of a session");
}

TEST_CASE("the end of a session is a signal without a key, and no other is") {
  const auto decoded = [](const Signal& signal) { return decode_reply(73, payload_of(encoded(Reply(signal)))); };
  CHECK(decoded({SignalEvent::session_ended, "", 1, 2, 1, 65'537, 0, "idle"}).ok());
  CHECK_FALSE(decoded({SignalEvent::session_ended, std::string(KeyBuilder("f").build()->bytes()), 1, 2, 1, 65'537, 0, "idle"}).ok());
  CHECK_FALSE(decoded({SignalEvent::done, "", 1, 2, 1, 3, 0, ""}).ok());
}

TEST_CASE("a reservation names a key or none") {
  const auto decoded = [](const std::string& key) { return decode_request(18, payload_of(encoded(Request(Reserve{1, 0, false, key})))).ok(); };
  CHECK(decoded(""));
  CHECK(decoded(std::string(KeyBuilder("f").build()->bytes())));
  CHECK_FALSE(decoded("f"));
}

TEST_CASE("an id that is too long is refused before it is looked up") {
  CHECK(refusal(22, payload_of(encoded(Request(OpenSession{std::string(65, 'A')})))).text == "open_session.id: bytes 65 > 64");
}

TEST_CASE("a part is inline or in a blob, and where in it must be a place that a blob can have") {
  const auto decoded = [](const Part& part) {
    return decode_request(5, payload_of(encoded(Request(Publish{Token{1, 2}, {part}, 0}))));
  };
  CHECK(decoded({"", "", {}, 7, 64, 100}).ok());
  CHECK(decoded({"", "", {}, 7, 0, limits::part_bytes_max}).ok());
  CHECK(decoded({"", "", "bytes", 7, 0, 5}).error().text == "publish.parts: is in a blob and has bytes of its own");
  CHECK(decoded({"", "", "bytes", 0, 64, 0}).error().text == "publish.parts: is inline and has a place in a blob");
  CHECK(decoded({"", "", {}, 7, 65, 5}).error().code == ErrorCode::malformed);
  CHECK(decoded({"", "", {}, 7, limits::part_bytes_max, 0}).error().code == ErrorCode::malformed);
  CHECK(decoded({"", "", {}, 7, 0, limits::part_bytes_max + 1}).error().code == ErrorCode::too_large);
}

TEST_CASE("deep nesting is refused") {
  for (const std::size_t depth : {13U, 1000U, 100'000U}) {
    CHECK(refusal(type(Withdraw{}), bytes("92 09") + std::string(depth, '\x91') + '\x00').code == ErrorCode::too_large);
    std::string maps = bytes("92 09");
    for (std::size_t i = 0; i < depth; ++i) maps += bytes("81 00");
    CHECK(refusal(type(Withdraw{}), maps + '\x00').code == ErrorCode::too_large);
  }
}

TEST_CASE("a text above its limit is cut between two characters") {
  std::string text(limits::text_bytes_max - 1, 'x');
  text += "ä";
  const auto result = decode_request(6, payload_of(encoded(Request(Fail{{1, 2}, text, 0}))));
  REQUIRE(result.ok());
  CHECK(std::get<Fail>(*result).text == std::string(limits::text_bytes_max - 1, 'x'));

  const auto whole = decode_request(6, payload_of(encoded(Request(Fail{{1, 2}, std::string(limits::text_bytes_max, 'y'), 0}))));
  REQUIRE(whole.ok());
  CHECK(std::get<Fail>(*whole).text.size() == limits::text_bytes_max);
}

TEST_CASE("a text that is not UTF-8 is mended by the sender and refused by the receiver") {
  const auto result = decode_request(6, payload_of(encoded(Request(Fail{{1, 2}, "bad \xff\xc3 byte", 0}))));
  REQUIRE(result.ok());
  CHECK(std::get<Fail>(*result).text == "bad \xef\xbf\xbd\xef\xbf\xbd byte");
  CHECK(refusal(6, bytes("92 920102 a1ff")).text == "fail.text: is not UTF-8");

  // Mending makes it longer; it is cut all the same.
  const auto longer = decode_request(6, payload_of(encoded(Request(Fail{{1, 2}, std::string(5000, '\xff'), 0}))));
  REQUIRE(longer.ok());
  CHECK(std::get<Fail>(*longer).text.size() == limits::text_bytes_max / 3 * 3);
}

TEST_CASE("the name that a client gives itself is cut, not refused") {
  const Hello hello{"onced", limits::protocol_version, "", std::string(127, 'n') + "äöü", true};
  const auto result = decode_request(1, payload_of(encoded(Request(hello))));
  REQUIRE(result.ok());
  CHECK(std::get<Hello>(*result).client_name == std::string(127, 'n'));
}

TEST_CASE("numbers of a report keep their type") {
  const StatusReport sent{{{"count", std::uint64_t{3}}, {"ratio", 1.0}, {"name", std::string("x")}, {"huge", ~std::uint64_t{0}}}};
  const auto result = decode_reply(76, payload_of(encoded(Reply(sent))));
  REQUIRE(result.ok());
  CHECK(std::get<StatusReport>(*result).fields == sent.fields);
}

TEST_CASE("a fraction may be unknown, and may come as an integer") {
  auto result = decode_request(8, payload_of(encoded(Request(Progress{{1, 2}, std::nan(""), ""}))));
  REQUIRE(result.ok());
  CHECK(std::isnan(std::get<Progress>(*result).fraction));
  result = decode_request(8, bytes("93 920102 01 a0"));
  REQUIRE(result.ok());
  CHECK(std::get<Progress>(*result).fraction == 1.0);
  result = decode_request(8, bytes("93 920102 ca3f000000 a0"));
  REQUIRE(result.ok());
  CHECK(std::get<Progress>(*result).fraction == 0.5);
}

TEST_CASE("lists that do not fit into a frame are cut and say so") {
  const std::string key = std::string(KeyBuilder("f").add(std::string(20'000, 'k')).build().value().bytes());

  State state;
  for (int i = 0; i < 50; ++i) state.entries.push_back({key, KeyState::ready, 1, 0, "", 0});
  std::string frame = encoded(Reply(state));
  CHECK(frame.size() <= frame_header_bytes + limits::frame_payload_bytes_max);
  auto result = decode_reply(75, payload_of(frame));
  REQUIRE(result.ok());
  CHECK(std::get<State>(*result).truncated);
  CHECK(std::get<State>(*result).entries.size() == 25);

  Listing listing;
  for (int i = 0; i < 50; ++i) {
    ListRow row;
    row.key = std::string(KeyBuilder("f").add(std::string(20'000, 'k')).add(i).build().value().bytes());
    listing.rows.push_back(row);
  }
  result = decode_reply(78, payload_of(encoded(Reply(listing))));
  REQUIRE(result.ok());
  const auto& cut = std::get<Listing>(*result);
  REQUIRE(cut.rows.size() == 25);
  CHECK(cut.cursor == listing.rows[24].key);

  Statistics statistics;
  for (int i = 0; i < 4000; ++i) statistics.functions.push_back({std::string(200, 'f'), {{"hits", std::uint64_t{1}}}});
  result = decode_reply(77, payload_of(encoded(Reply(statistics))));
  REQUIRE(result.ok());
  CHECK(std::get<Statistics>(*result).truncated);
  CHECK(std::get<Statistics>(*result).functions.size() == 2000);
}

TEST_CASE("the words of signals, states and leases are those of the command line") {
  CHECK(name_of(SignalEvent::started) == "started");
  CHECK(name_of(SignalEvent::abandoned) == "abandoned");
  CHECK(name_of(KeyState::computing) == "computing");
  CHECK(name_of(LeaseEnd::superseded) == "superseded");
  CHECK(name_of(LeaseCause::holder_died) == "holder_died");
}
