#include "part_words.hpp"

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>

#include <onced/protocol/limits.hpp>

#include "text_format.hpp"

namespace onced::cli {
namespace {

struct Pair {
  std::string name;
  std::string value;
};

std::optional<Pair> split(const std::string& word) {
  const std::size_t equals = word.find('=');
  if (equals == std::string::npos || equals + 1 == word.size()) return std::nullopt;
  return Pair{word.substr(0, equals), word.substr(equals + 1)};
}

Error wrong(std::string text) { return {ErrorCode::invalid_argument, std::move(text)}; }

std::string spoken(const std::string& name) { return name.empty() ? "the part without a name" : "part '" + name + "'"; }

}  // namespace

Result<std::vector<PartSource>> part_sources(const PartWords& words) {
  std::vector<PartSource> sources;
  if (!words.file.empty()) sources.push_back({"", words.file, words.content_type});
  for (const std::string& word : words.parts) {
    std::optional<Pair> pair = split(word);
    if (!pair) return wrong("--part '" + word + "': not NAME=FILE");
    if (!is_utf8(pair->name)) return wrong("--part '" + word + "': the name is not UTF-8");
    if (pair->name.size() > limits::part_name_bytes_max) {
      return wrong("--part '" + word + "': the name is longer than " + std::to_string(limits::part_name_bytes_max) + " bytes");
    }
    sources.push_back({std::move(pair->name), std::move(pair->value), words.content_type});
  }
  if (sources.empty()) sources.push_back({"", "-", words.content_type});
  if (sources.size() > limits::parts_max) {
    return wrong(std::to_string(sources.size()) + " parts are more than a value may have (" + std::to_string(limits::parts_max) + ")");
  }

  bool standard_input = false;
  for (auto source = sources.begin(); source != sources.end(); ++source) {
    const auto same = [&](const PartSource& other) { return other.name == source->name; };
    if (std::any_of(sources.begin(), source, same)) return wrong(spoken(source->name) + " is given twice");
    if (source->path == "-" && std::exchange(standard_input, true)) return wrong("standard input ('-') can be one part only");
  }
  for (const std::string& word : words.types) {
    std::optional<Pair> pair = split(word);
    if (!pair) return wrong("--part-type '" + word + "': not NAME=TYPE");
    const auto source = std::find_if(sources.begin(), sources.end(), [&](const PartSource& one) { return one.name == pair->name; });
    if (source == sources.end()) return wrong("--part-type '" + word + "': there is no such part");
    source->content_type = std::move(pair->value);
  }
  for (const PartSource& source : sources) {
    if (source.content_type.size() > limits::content_type_bytes_max || !is_utf8(source.content_type)) {
      return wrong("the content type of " + spoken(source.name) + " is longer than " + std::to_string(limits::content_type_bytes_max) +
                   " bytes or not UTF-8");
    }
  }
  return sources;
}

}  // namespace onced::cli
