#include "session_workload.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <set>

namespace onced::testing {

std::uint64_t session_of_key(std::string_view key) {
  constexpr std::string_view begin = "argument of session ";
  return key.starts_with(begin) ? std::strtoull(std::string(key.substr(begin.size(), 20)).c_str(), nullptr, 10) : 0;
}

disk::StoreOptions session_store(std::vector<std::string>* said, std::uint64_t seed) {
  disk::StoreOptions options = small_store(said);
  options.session_of = session_of_key;
  options.random = [random = std::make_shared<std::mt19937_64>(seed)](std::span<std::byte> into) {  // never twice the same
    for (std::byte& byte : into) byte = static_cast<std::byte>((*random)());
  };
  return options;
}

std::array<std::byte, 32> id_digest(std::uint64_t number, std::uint64_t generation) {
  std::mt19937_64 random(number * 1'000'003 + generation);
  std::array<std::byte, 32> digest{};
  for (std::byte& byte : digest) byte = static_cast<std::byte>(random());
  return digest;
}

disk::SessionFacts session_facts(std::uint64_t number, std::uint64_t generation, std::uint64_t now_ms) {
  return {.number = number, .generation = generation, .digest = id_digest(number, generation), .made_ms = now_ms, .used_ms = now_ms,
          .idle_ms = 3'600'000, .ends_ms = disk::never_ms};
}

std::optional<std::string> secret_of(const Image& image, std::uint64_t number) {
  const auto file = image.find("sessions");
  if (file == image.end()) return std::nullopt;
  for (std::size_t at = 0; at + sizeof(disk::SessionSlot) <= file->second.content.size(); at += sizeof(disk::SessionSlot)) {
    disk::SessionSlot slot;
    std::memcpy(&slot, file->second.content.data() + at, sizeof(slot));
    if (std::string_view(slot.magic.data(), 4) == "onse" && slot.number == number)
      return std::string(reinterpret_cast<const char*>(slot.key.data()), slot.key.size());
  }
  return std::nullopt;
}

bool is_anywhere(const Image& image, std::string_view bytes) {
  return std::any_of(image.begin(), image.end(), [&](const auto& one) { return one.second.content.find(bytes) != std::string::npos; });
}

disk::ValueInput SessionWorkload::value_of(std::uint64_t number, int key, std::uint64_t version) {
  disk::ValueInput value = derived_value(id_of(number, key), version);
  value.key = session_key(number, key);
  return value;
}

void SessionWorkload::step(disk::Store& store, const std::function<std::size_t()>& time, const std::function<Image()>& image, std::uint64_t now_ms) {
  std::vector<disk::Store::Operation> operations;
  struct Note { std::uint64_t number; std::optional<std::uint64_t> generation; int key; std::optional<std::uint64_t> put; };
  std::vector<Note> notes;
  const std::size_t issued = time();
  std::vector<std::uint64_t> made;
  for (std::size_t n = 1 + random() % 3; n != 0; --n) {
    std::vector<std::uint64_t> alive;
    for (const auto& [number, known] : sessions)
      if (!known.ended) alive.push_back(number);
    const auto kind = random() % 20;
    if (alive.empty() || kind < 3) {
      last_number += 1 + (random() % 8 == 0 ? (std::uint64_t{3} << 21) / 1'000 * 1'000 : 0);  // id_of() never comes twice
      const std::uint64_t number = last_number;
      sessions[number].generation = 1;
      operations.push_back(disk::Store::KeepSession{session_facts(number, 1, now_ms)});
      notes.push_back({number, 1, 0, std::nullopt});
      made.push_back(number);
      continue;
    }
    const std::uint64_t number = alive[random() % alive.size()];
    Known& known = sessions[number];
    const int key = static_cast<int>(random() % keys);
    if (kind < 6) {
      operations.push_back(disk::Store::KeepSession{session_facts(number, ++known.generation, now_ms)});
      notes.push_back({number, known.generation, 0, std::nullopt});
    } else if (kind < 8) {
      operations.push_back(disk::Store::UseSession{number, now_ms});
    } else if (kind < 10) {
      known.ended = true;
      operations.push_back(disk::Store::EndSession{number});
      notes.push_back({number, 0, 0, std::nullopt});
      // What was queued before it, by somebody who has not heard of it, comes too late.
      operations.push_back(disk::Store::Put{value_of(number, key, ++version)});
    } else if (kind < 12) {
      operations.push_back(disk::Store::Drop{session_key(number, key)});
      notes.push_back({number, std::nullopt, key, std::nullopt});
    } else {
      operations.push_back(disk::Store::Put{value_of(number, key, ++version)});
      notes.push_back({number, std::nullopt, key, version});
    }
  }
  const bool asked = random() % 3 == 0;
  const bool stable = asked || std::any_of(operations.begin(), operations.end(), [](const auto& one) {
    return !std::holds_alternative<disk::Store::Put>(one) && !std::holds_alternative<disk::Store::UseSession>(one);
  });
  const auto outcomes = store.write(operations, asked, now_ms);
  std::vector<std::optional<std::size_t>> acknowledged(outcomes.size());
  const bool well = std::none_of(outcomes.begin(), outcomes.end(), [](auto outcome) { return outcome == disk::Store::Outcome::failed; });
  std::optional<std::size_t> when;
  if (stable && well) when = time();
  for (const Note& note : notes) {
    if (note.generation) {
      sessions[note.number].events.push_back({*note.generation, issued, when});
    } else if (note.put) {
      history.put(id_of(note.number, note.key), *note.put, issued, when);
      if (faults && !when) history.drop(id_of(note.number, note.key), issued, std::nullopt);
    } else {
      history.drop(id_of(note.number, note.key), issued, when);
    }
  }
  for (const std::uint64_t number : made)
    if (auto secret = secret_of(image(), number)) sessions[number].secret = std::move(*secret);
}

std::string SessionWorkload::problem(disk::Store& store, const Image& image, std::size_t now, bool lossless, std::uint64_t now_ms) const {
  std::map<std::uint64_t, disk::SessionFacts> there;
  for (const disk::SessionFacts& one : store.sessions()) there[one.number] = one;
  for (const auto& [number, known] : sessions) {
    const std::string which = "session " + std::to_string(number) + ": ";
    std::ptrdiff_t certain = -1;
    std::ptrdiff_t latest = -1;
    for (std::size_t i = 0; i < known.events.size() && known.events[i].issued <= now; ++i) {
      latest = static_cast<std::ptrdiff_t>(i);
      if (known.events[i].acknowledged && *known.events[i].acknowledged <= now) certain = latest;
    }
    const auto at = [&](std::ptrdiff_t i) -> const Event& { return known.events[static_cast<std::size_t>(i)]; };
    const auto found = there.find(number);
    const bool is_over = certain >= 0 && at(certain).generation == 0;
    if (found != there.end()) {
      bool allowed = false;
      for (std::ptrdiff_t i = std::max<std::ptrdiff_t>(certain, 0); i <= latest; ++i) allowed = allowed || at(i).generation == found->second.generation;
      if (!allowed) return which + "generation " + std::to_string(found->second.generation) + " is not what it can be";
      if (found->second.digest != id_digest(number, found->second.generation)) return which + "another id";
    } else if (lossless && certain >= 0) {
      bool may_be_over = false;
      for (std::ptrdiff_t i = certain; i <= latest; ++i) may_be_over = may_be_over || at(i).generation == 0;
      if (!may_be_over) return which + "it is missing";
    }
    if (certain >= 0 && store.session_numbers_below() <= number) return which + "its number could come again";
    if (is_over) {
      if (!known.secret.empty() && is_anywhere(image, known.secret)) return which + "its key is still there";
      for (const Event& event : known.events)
        if (event.generation != 0 && is_anywhere(image, text_of(id_digest(number, event.generation)))) return which + "the digest of its id is still there";
    }
    // After a rotation was answered no copy has the old one.
    if (certain >= 0) {
      for (std::ptrdiff_t i = 0; i < certain; ++i)
        if (is_anywhere(image, text_of(id_digest(number, at(i).generation)))) return which + "an id of before is still there";
    }
    for (int key = 0; key < keys; ++key) {
      const auto loaded = store.load(session_key(number, key), now_ms);
      if (!loaded) return which + loaded.error().text;
      if (found == there.end()) {
        if (*loaded || store.may_have(session_key(number, key))) return which + "a value of a session that is not there";
        continue;
      }
      const std::string wrong = history.problem(id_of(number, key), *loaded, now, lossless);
      if (!wrong.empty()) return which + "key " + std::to_string(key) + ": " + wrong;
    }
  }
  for (const auto& [number, facts] : there)
    if (!sessions.contains(number)) return "session " + std::to_string(number) + " was never made";
  return "";
}

}  // namespace onced::testing
