#include "value_output.hpp"

#include <algorithm>
#include <vector>

#include "text_format.hpp"

namespace onced::cli {

void add_part_options(Command& command, PartChoice& choice) {
  command.add_option("--part", choice.name, "Which part (default: the one without a name)", "NAME");
  command.add_flag("--force", choice.force, "Write to a terminal what is no plain text, too");
}

std::string_view place_of(bool large) { return large ? "blob" : "memory"; }

namespace {

std::string listed(const std::vector<std::string>& names) {
  constexpr std::size_t shown = 20;
  std::string text;
  for (std::size_t i = 0; i < std::min(shown, names.size()); ++i) {
    text += (i == 0 ? "" : ", ") + (names[i].empty() ? std::string("one without a name") : "'" + escape(names[i]) + "'");
  }
  if (names.size() > shown) text += " and " + std::to_string(names.size() - shown) + " more";
  return text;
}

std::vector<std::string> names_of(const Value& value) {
  std::vector<std::string> names;
  for (const PartInfo& part : value.parts()) names.emplace_back(part.name);
  return names;
}

}  // namespace

std::string part_names(const Value& value) { return listed(names_of(value)); }

std::string no_such_part(const std::string& part, const std::vector<std::string>& names) {
  const bool only_unnamed = names.size() == 1 && names.front().empty();
  return "this value has no part " + (part.empty() ? std::string("without a name") : "'" + escape(part) + "'") + "; " +
         (only_unnamed ? "it is one part without a name: leave --part away" : "it has " + listed(names));
}

int write_part(Context& context, const Value& value, const PartChoice& choice) {
  const Result<Part> part = value.part(std::string_view(choice.name.value_or("")));
  if (part && context.output.data_screen().terminal && !choice.force && !is_plain_text(part->text())) {
    context.output.talk("this is no plain text (" + human_bytes(part->bytes.size()) + ") and may steer or confuse the terminal; " +
                        "`> FILE` keeps it, --force shows it all the same");
    return exit_code::usage;
  }
  if (part) {
    context.output.data(part->text());
    return exit_code::ok;
  }
  if (part.error().code != ErrorCode::not_found) return context.fail(part.error());
  if (!choice.name) {
    context.output.talk("this value has named parts only: " + part_names(value) + "; choose one with --part");
    return exit_code::usage;
  }
  context.output.talk(no_such_part(*choice.name, names_of(value)));
  return exit_code::miss;
}

Json parts_json(const Value& value) {
  Json parts = Json::array();
  for (const PartInfo& part : value.parts()) {
    Json line = Json::object();
    line["name"] = part.name;
    line["content_type"] = part.content_type;
    line["bytes"] = part.bytes;
    line["where"] = place_of(part.large);
    parts.push_back(std::move(line));
  }
  return parts;
}

std::uint64_t bytes_of_all(const Value& value) {
  std::uint64_t sum = 0;
  for (const PartInfo& part : value.parts()) sum += part.bytes;
  return sum;
}

}  // namespace onced::cli
