// The vectors that every implementation must reproduce: tests/golden/keys.json, tests/golden/messages.json.
//
// keys.json is written by make_keys.py, an implementation of its own. messages.json is written by this program when
// ONCED_GOLDEN_WRITE is set in its environment; its "fields" are what another MessagePack reader sees in our bytes.
#include <cstdlib>
#include <fstream>
#include <string>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <onced/protocol/frame.hpp>
#include <onced/protocol/key.hpp>
#include <onced/protocol/messages.hpp>

#include "hex.hpp"
#include "sample_messages.hpp"

using namespace onced;
using namespace onced::protocol;
using nlohmann::ordered_json;
using onced::test::bytes;
using onced::test::hex;

namespace {

const std::string messages_path = ONCED_GOLDEN_DIRECTORY "/messages.json";

ordered_json read_json(const std::string& path) {
  std::ifstream file(path);
  REQUIRE(file.good());
  return ordered_json::parse(file);
}

// JSON as the library reads it, bytes as {"$hex": ...}, in which a person can compare two files.
ordered_json spelled(const ordered_json& value) {
  if (value.is_binary()) {
    const auto& data = value.get_binary();
    return {{"$hex", hex({reinterpret_cast<const char*>(data.data()), data.size()})}};
  }
  if (!value.is_array()) return value;
  ordered_json result = ordered_json::array();
  for (const ordered_json& element : value) result.push_back(spelled(element));
  return result;
}

template <typename Message>
ordered_json rows_of(const test::Samples<Message>& samples) {
  ordered_json rows = ordered_json::array();
  RequestId id = 1;
  for (const auto& [name, message] : samples) {
    std::string frame;
    encode(id, message, frame);
    rows.push_back({{"name", name},
                    {"type", type_of(message)},
                    {"request_id", id},
                    {"fields", spelled(ordered_json::from_msgpack(frame.substr(frame_header_bytes)))},
                    {"frame_hex", hex(frame)}});
    ++id;
  }
  return rows;
}

void check_decodes(const ordered_json& row, bool request) {
  const std::string frame = bytes(row["frame_hex"].get<std::string>());
  const auto header = decode_header(reinterpret_cast<const std::uint8_t*>(frame.data()));
  REQUIRE(header.ok());
  CHECK(header->type == row["type"]);
  CHECK(header->request_id == row["request_id"]);
  CHECK(header->payload_bytes == frame.size() - frame_header_bytes);
  const std::string_view payload = std::string_view(frame).substr(frame_header_bytes);
  std::string again;
  if (request) {
    const auto message = decode_request(header->type, payload);
    REQUIRE(message.ok());
    encode(header->request_id, *message, again);
  } else {
    const auto message = decode_reply(header->type, payload);
    REQUIRE(message.ok());
    encode(header->request_id, *message, again);
  }
  CHECK(again == frame);
}

}  // namespace

TEST_CASE("every golden key is made from its arguments, and taken apart into them") {
  const ordered_json keys = read_json(ONCED_GOLDEN_DIRECTORY "/keys.json");
  REQUIRE(keys["accepted"].size() >= 30);
  for (const ordered_json& row : keys["accepted"]) {
    CAPTURE(row["name"].get<std::string>());
    const auto function = row["function"].get<std::string>();
    const auto version = row["version"].get<std::string>();
    std::optional<std::uint64_t> session;
    if (!row["session"].is_null()) session = row["session"].get<std::uint64_t>();

    const auto built = KeyBuilder(function, version, session).arguments_json(row["arguments"].dump()).build();
    REQUIRE(built.ok());
    CHECK(hex(built->bytes()) == row["key_hex"].get<std::string>());

    const auto parsed = Key::parse(bytes(row["key_hex"].get<std::string>()));
    REQUIRE(parsed.ok());
    CHECK(parsed->function() == function);
    CHECK(parsed->version() == version);
    CHECK(parsed->session() == session);
    const auto again = KeyBuilder(function, version, session).arguments_json(parsed->arguments_json()).build();
    REQUIRE(again.ok());
    CHECK(*again == *parsed);
    const auto copied = KeyBuilder(function, version, session).arguments_msgpack(parsed->arguments()).build();
    REQUIRE(copied.ok());
    CHECK(*copied == *parsed);
  }
}

TEST_CASE("every golden mistake is refused with its code") {
  const ordered_json keys = read_json(ONCED_GOLDEN_DIRECTORY "/keys.json");
  REQUIRE(keys["refused"].size() >= 50);
  for (const ordered_json& row : keys["refused"]) {
    CAPTURE(row["name"].get<std::string>());
    std::string key = bytes(row["key_hex"].get<std::string>());
    if (row.contains("then_repeated"))
      key.append(row["then_repeated"]["count"].get<std::size_t>(), static_cast<char>(row["then_repeated"]["byte"].get<int>()));
    const auto checked = check_key(key);
    REQUIRE_FALSE(checked.ok());
    CHECK(name_of(checked.error().code) == row["code"].get<std::string>());
    CHECK_FALSE(Key::parse(key).ok());
  }
}

TEST_CASE("every golden message is what we send, and understood") {
  const ordered_json now = {{"requests", rows_of(test::sample_requests())}, {"replies", rows_of(test::sample_replies())}};
  if (std::getenv("ONCED_GOLDEN_WRITE") != nullptr) {
    std::ofstream file(messages_path);
    file << "{\n";
    for (const char* kind : {"requests", "replies"}) {
      file << "  \"" << kind << "\": [\n";
      for (const ordered_json& row : now[kind]) file << "    " << row.dump() << (&row == &now[kind].back() ? "\n" : ",\n");
      file << (kind == std::string("requests") ? "  ],\n" : "  ]\n");
    }
    file << "}\n";
    REQUIRE(file.good());
  }
  const ordered_json golden = read_json(messages_path);
  for (const char* kind : {"requests", "replies"}) {
    REQUIRE(golden[kind].size() == now[kind].size());
    for (std::size_t i = 0; i < golden[kind].size(); ++i) {
      CAPTURE(golden[kind][i]["name"].get<std::string>());
      CHECK(golden[kind][i] == now[kind][i]);
      check_decodes(golden[kind][i], kind == std::string("requests"));
    }
  }
}
