#include "nearest_key.hpp"

#include <algorithm>
#include <array>
#include <set>
#include <string_view>
#include <utility>

#include "text_format.hpp"

namespace onced::cli {
namespace {

constexpr std::size_t rows_max = 4096;  // some 25 answers of the daemon
constexpr std::size_t pages_max = 64;   // an answer may be short of rows when the daemon had to look at many of others
constexpr std::size_t json_columns = 48;
// Arguments of a run that hold several, and what one of them is called.
constexpr std::array<std::pair<std::string_view, std::string_view>, 3> lists_of_run{{{"words", "word"}, {"env", "variable"}, {"inputs", "input"}}};

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

// Counted from 1. What is no place (a key may have any arguments) stays as it is.
std::string place_text(const std::string& index) {
  const bool is_place = index.size() < 10 && index.find_first_not_of("0123456789") == std::string::npos && !index.empty();
  return is_place ? std::to_string(std::stoul(index) + 1) : escape(index);
}

// "argument 2", "argument fruit"; of a run "word 3", "variable LANG".
std::string spoken(const ArgumentDifference& difference, bool named, Arguments kind) {
  const std::string name = difference.path.substr(1);
  for (const auto& [list, noun] : lists_of_run) {
    const std::string begin = std::string(list) + "/";
    if (kind != Arguments::of_run || !name.starts_with(begin)) continue;
    const std::string item = name.substr(begin.size());
    return std::string(noun) + " " + (list == "env" ? escape(item) : place_text(item));
  }
  return "argument " + (named ? escape(name) : place_text(name));
}

std::string sentence(const ArgumentDifference& difference, bool named, Arguments kind) {
  if (difference.path.empty()) return "its arguments are " + std::string(named ? "positional" : "named");
  const std::string argument = spoken(difference, named, kind);
  const std::string there = shown(difference.there);
  const std::string asked = shown(difference.asked);
  if (difference.asked.empty()) return argument + " is " + there + " there and not given here";
  if (difference.there.empty()) return argument + " is " + asked + " here and not given there";
  return argument + " is " + there + " there and " + asked + " here";
}

const Json* find(const Json& in, const std::string& name) {
  if (in.is_object()) return in.contains(name) ? &in[name] : nullptr;
  const std::size_t place = std::stoul(name);
  return place < in.size() ? &in[place] : nullptr;
}

// Places of the longer one, or the names of both.
std::vector<std::string> names_in(const Json& a, const Json& b) {
  std::vector<std::string> names;
  if (a.is_array()) {
    for (std::size_t i = 0; i < std::max(a.size(), b.size()); ++i) names.push_back(std::to_string(i));
    return names;
  }
  std::set<std::string> sorted;
  for (const Json* one : {&a, &b}) {
    for (const auto& [name, value] : one->items()) sorted.insert(name);
  }
  return {sorted.begin(), sorted.end()};
}

void add_differences(const std::string& path, const Json& asked, const Json& there, Arguments kind, std::vector<ArgumentDifference>& differences) {
  for (const std::string& name : names_in(asked, there)) {
    const Json* here = find(asked, name);
    const Json* other = find(there, name);
    const std::string a = here == nullptr ? "" : here->dump();
    const std::string b = other == nullptr ? "" : other->dump();
    if (a == b) continue;  // as texts: 1 and 1.0 are two arguments
    const bool is_list = kind == Arguments::of_run && here != nullptr && other != nullptr && here->type() == other->type() &&
                         std::any_of(lists_of_run.begin(), lists_of_run.end(), [&](const auto& list) { return list.first == name; });
    if (is_list && here->is_structured()) add_differences(path + "/" + name, *here, *other, Arguments::plain, differences);
    else differences.push_back({path + "/" + name, a, b});
  }
}

std::string version_words(const std::string& version) { return version.empty() ? "without a version" : "of version " + escape(version); }

}  // namespace

std::vector<ArgumentDifference> differences_of(const Json& asked, const Json& there, Arguments kind) {
  if (asked.is_array() != there.is_array()) return {{"", asked.dump(), there.dump()}};
  std::vector<ArgumentDifference> differences;
  add_differences("", asked, there, kind, differences);
  return differences;
}

NearestKey::NearestKey(const Key& asked)
    : asked_(asked), arguments_(arguments_of(asked)), kind_(asked.function().starts_with("run:") ? Arguments::of_run : Arguments::plain) {}

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
  std::vector<ArgumentDifference> differences = differences_of(arguments_, arguments, kind_);
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
      line += (i == 0 ? ": " : "; ") + sentence(nearest_->differences[i], named, kind_);
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
