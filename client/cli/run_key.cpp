#include "run_key.hpp"

#include <cstdint>

#include <nlohmann/json.hpp>

#include "text_format.hpp"

namespace onced::cli {
namespace {

using nlohmann::json;

constexpr std::uint8_t digest_extension = 1;  // WIRE.md, "Keys"

json text_or_bytes(const std::string& word) {
  if (is_utf8(word)) return word;
  return json::binary(std::vector<std::uint8_t>(word.begin(), word.end()));
}

json digest(const ContentDigest& content) {
  return json::binary(std::vector<std::uint8_t>(std::begin(content.bytes), std::end(content.bytes)), digest_extension);
}

}  // namespace

Result<Key> run_key(const RunIdentity& identity, std::optional<std::uint64_t> session) {
  json arguments = json::object();
  json words = json::array();
  for (const std::string& word : identity.words) words.push_back(text_or_bytes(word));
  arguments["words"] = std::move(words);
  if (!identity.environment.empty()) {
    json environment = json::object();
    for (const auto& [variable, value] : identity.environment) {
      environment[variable] = value ? text_or_bytes(*value) : json(nullptr);
    }
    arguments["env"] = std::move(environment);
  }
  if (identity.directory) arguments["cwd"] = text_or_bytes(*identity.directory);
  if (!identity.inputs.empty()) {
    json inputs = json::array();
    for (const ContentDigest& content : identity.inputs) inputs.push_back(digest(content));
    arguments["inputs"] = std::move(inputs);
  }
  if (identity.standard_input) arguments["stdin"] = digest(*identity.standard_input);

  const std::vector<std::uint8_t> packed = json::to_msgpack(arguments);
  const std::string name = identity.name.empty() ? identity.words.front() : identity.name;
  return KeyBuilder("run:" + name, {}, session)
      .arguments_msgpack({reinterpret_cast<const char*>(packed.data()), packed.size()})
      .build();
}

}  // namespace onced::cli
