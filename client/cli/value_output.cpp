#include "value_output.hpp"

#include <algorithm>
#include <vector>

#include "text_format.hpp"

namespace onced::cli {

void add_part_options(CLI::App& command, PartChoice& choice) {
  command.add_option("--part", choice.name, "Which part (default: the one without a name)")->type_name("NAME");
  command.add_flag("--force", choice.force, "Write to a terminal what is no text, too");
}

std::string_view place_of(bool large) { return large ? "blob" : "memory"; }

std::string part_names(const Value& value) {
  constexpr std::size_t shown = 20;
  const std::vector<PartInfo> parts = value.parts();
  std::string names;
  for (std::size_t i = 0; i < std::min(shown, parts.size()); ++i) {
    names += (i == 0 ? "'" : ", '") + escape(parts[i].name) + "'";
  }
  if (parts.size() > shown) names += " and " + std::to_string(parts.size() - shown) + " more";
  return names;
}

int write_part(Context& context, const Value& value, const PartChoice& choice) {
  const Result<Part> part = value.part(std::string_view(choice.name.value_or("")));
  if (part && context.output.data_screen().terminal && !choice.force && !looks_like_text(part->text())) {
    context.output.talk("this is no text (" + human_bytes(part->bytes.size()) + ") and may confuse the terminal; " +
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
  context.output.talk("this value has no part '" + escape(*choice.name) + "'; it has " + part_names(value));
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
