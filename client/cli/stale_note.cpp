#include "stale_note.hpp"

#include <string>

#include "text_format.hpp"

namespace onced::cli {

std::optional<std::uint64_t> age_ms_of(Reach& reach, const Key& key, const Value& value) {
  const Result<protocol::Explanation> known = reach.explain(key);
  if (!known || known->row.version != value.version()) return std::nullopt;
  return known->row.age_ms;
}

std::string stale_text(const protocol::Explanation& of_value) {
  std::string text = ", " + human_duration(static_cast<double>(of_value.row.age_ms) / 1e3) + " old";
  if (!of_value.softened_by.empty()) text += ", invalidated softly by " + escape(of_value.softened_by);
  return text;
}

void note_if_stale(Context& context, Reach& reach, const Key& key, const Value& value) {
  if (!value.stale()) return;
  const Result<protocol::Explanation> known = reach.explain(key);
  std::string line = "this value is stale";
  std::string next = "the next one who computes it renews it";
  if (known && known->row.version == value.version()) {
    line += stale_text(*known);
    if (known->row.state == protocol::KeyState::computing) next = escape(known->row.holder) + " renews it";
  } else if (known && known->row.version > value.version()) {
    next = "a newer one is there by now";
  }
  context.output.talk(line + "; " + next);
}

}  // namespace onced::cli
