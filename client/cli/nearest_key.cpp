#include "nearest_key.hpp"

#include <algorithm>
#include <set>

#include "text_format.hpp"

namespace onced::cli {
namespace {

constexpr std::size_t rows_max = 4096;  // some 25 answers of the daemon
constexpr std::size_t pages_max = 64;   // an answer may be short of rows when the daemon had to look at many of others
constexpr std::size_t json_columns = 48;

Json arguments_of(const Key& key) { return Json::parse(key.arguments_json(), nullptr, false); }

// JSON text for a terminal: it has its own backslashes, which stay as they are.
std::string shown(std::string_view json) {
  const std::string text = cut_to(json, json_columns);
  std::string out;
  for (std::size_t begin = 0;;) {
    const std::size_t end = text.find('\\', begin);
    out += escape(std::string_view(text).substr(begin, end - begin));
    if (end == std::string::npos) return out;
    out += '\\';
    begin = end + 1;
  }
}

// "argument 2", "argument fruit".
std::string spoken(const ArgumentDifference& difference, bool named) {
  const std::string name = difference.path.substr(1);
  return "argument " + (named ? escape(name) : std::to_string(std::stoul(name) + 1));
}

std::string sentence(const ArgumentDifference& difference, bool named) {
  if (difference.path.empty()) return "its arguments are " + std::string(named ? "positional" : "named");
  const std::string argument = spoken(difference, named);
  const std::string there = shown(difference.there);
  const std::string asked = shown(difference.asked);
  if (difference.asked.empty()) return argument + " is " + there + " there and not given here";
  if (difference.there.empty()) return argument + " is " + asked + " here and not given there";
  return argument + " is " + there + " there and " + asked + " here";
}

std::string version_words(const std::string& version) { return version.empty() ? "without a version" : "of version " + escape(version); }

}  // namespace

std::vector<ArgumentDifference> differences_of(const Json& asked, const Json& there) {
  if (asked.is_array() != there.is_array()) return {{"", asked.dump(), there.dump()}};
  std::vector<ArgumentDifference> differences;
  const auto compare = [&](const std::string& path, const Json* here, const Json* other) {
    const std::string a = here == nullptr ? "" : here->dump();
    const std::string b = other == nullptr ? "" : other->dump();
    if (a != b) differences.push_back({"/" + path, a, b});  // as texts: 1 and 1.0 are two arguments
  };
  if (asked.is_array()) {
    for (std::size_t i = 0; i < std::max(asked.size(), there.size()); ++i) {
      compare(std::to_string(i), i < asked.size() ? &asked[i] : nullptr, i < there.size() ? &there[i] : nullptr);
    }
    return differences;
  }
  std::set<std::string> names;
  for (const auto& [name, value] : asked.items()) names.insert(name);
  for (const auto& [name, value] : there.items()) names.insert(name);
  const auto find = [](const Json& object, const std::string& name) { return object.contains(name) ? &object[name] : nullptr; };
  for (const std::string& name : names) compare(name, find(asked, name), find(there, name));
  return differences;
}

NearestKey::NearestKey(const Key& asked) : asked_(asked), arguments_(arguments_of(asked)) {}

void NearestKey::look_at(const protocol::ListRow& row) {
  ++looked_at_;
  if (row.state != protocol::KeyState::ready && row.state != protocol::KeyState::computing) return;
  const Result<Key> key = Key::parse(row.key);
  if (!key || *key == asked_ || key->function() != asked_.function() || key->session() != asked_.session() || arguments_.is_discarded()) return;
  if (key->arguments() == asked_.arguments()) {
    if (versions_.size() < versions_told_max) versions_.push_back(key->version());
    return;
  }
  const Json arguments = arguments_of(*key);
  if (arguments.is_discarded()) return;
  std::vector<ArgumentDifference> differences = differences_of(arguments_, arguments);
  // Positional where names were asked for differs in everything.
  const bool other_kind = arguments.is_array() != arguments_.is_array();
  std::size_t distance = other_kind ? std::max<std::size_t>(1, arguments.size() + arguments_.size()) : differences.size();
  distance = 2 * distance + (key->version() == asked_.version() ? 0 : 1);
  if (!nearest_ || distance < nearest_->distance) nearest_ = Found{row.key, std::move(differences), distance};
}

std::vector<std::string> NearestKey::lines() const {
  std::vector<std::string> lines;
  const std::string bound = complete_ ? "" : ", among the " + human_count(looked_at_) + " that were looked at";
  if (!versions_.empty()) {
    std::string versions;
    for (const std::string& version : versions_) versions += (versions.empty() ? "" : ", ") + version_words(version);
    const std::string& first = versions_.front();
    lines.push_back("there is one " + versions + (first.empty() ? "" : " (--function-version " + escape(first) + ")"));
  } else if (nearest_) {
    std::string line = "the nearest entry is " + key_display(nearest_->key) + bound;
    const bool named = arguments_.is_object();
    for (std::size_t i = 0; i < std::min(differences_told_max, nearest_->differences.size()); ++i) {
      line += (i == 0 ? ": " : "; ") + sentence(nearest_->differences[i], named);
    }
    if (const std::size_t all = nearest_->differences.size(); all > differences_told_max) {
      line += "; and " + human_count(all - differences_told_max) + " more";
    }
    lines.push_back(std::move(line));
  } else {
    lines.push_back("there is nothing of " + escape(asked_.function()) + (complete_ ? " at all" : " like it" + bound));
  }
  return lines;
}

Json NearestKey::json() const {
  Json fields = Json::object();
  fields["other_versions"] = versions_;
  if (!nearest_) return fields;
  Json nearest = key_json(nearest_->key);
  nearest["differences"] = Json::array();
  for (const ArgumentDifference& difference : nearest_->differences) {
    Json line = Json::object();
    line["argument"] = difference.path;
    if (!difference.asked.empty()) line["asked"] = Json::parse(difference.asked);
    if (!difference.there.empty()) line["there"] = Json::parse(difference.there);
    nearest["differences"].push_back(std::move(line));
  }
  fields["nearest"] = std::move(nearest);
  return fields;
}

Result<NearestKey> find_nearest(Reach& reach, const Key& asked) {
  NearestKey nearest(asked);
  std::string cursor;
  std::size_t rows = 0;
  for (std::size_t page_number = 0; page_number < pages_max && rows < rows_max; ++page_number) {
    const Result<protocol::Listing> page = reach.list(asked.function(), cursor);
    if (!page) return page.error();
    for (const protocol::ListRow& row : page->rows) nearest.look_at(row);
    rows += page->rows.size();
    cursor = page->cursor;
    if (cursor.empty()) return nearest;
  }
  nearest.set_complete(false);
  return nearest;
}

}  // namespace onced::cli
