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

std::optional<std::string> renewal_text(const protocol::Explanation& known, const Value& value) {
  if (known.row.version > value.version()) return "a newer one is there by now";
  if (known.row.state == protocol::KeyState::computing) return escape(known.row.holder) + " renews it";
  if (known.row.state == protocol::KeyState::queued) return "it waits for its turn to be renewed";
  return std::nullopt;
}

void note_if_stale(Context& context, Reach& reach, const Key& key, const Value& value) {
  if (!value.stale()) return;
  const Result<protocol::Explanation> known = reach.explain(key);
  const std::string age = known && known->row.version == value.version() ? stale_text(*known) : std::string();
  const std::optional<std::string> renewal = known ? renewal_text(*known, value) : std::nullopt;
  context.output.talk("this value is stale" + age + "; " + renewal.value_or("the next one who computes it renews it"));
}

}  // namespace onced::cli
