#include "workload.hpp"

namespace onced::testing {

disk::StoreOptions small_store(std::vector<std::string>* said) {
  disk::StoreOptions options;
  options.budget_bytes = 4 << 20;
  options.segment_bytes = 8 << 10;
  options.body.file_bytes_min = test_file_bytes_min;
  options.random = [](std::span<std::byte> into) {
    std::mt19937 random(4711);
    for (std::byte& byte : into) byte = static_cast<std::byte>(random());
  };
  if (said != nullptr) options.say = [said](const std::string& text) { said->push_back(text); };
  return options;
}

void Workload::step(disk::Store& store, const std::function<std::size_t()>& time, std::uint64_t now_ms) {
  const int kind = static_cast<int>(random() % 20);
  std::vector<disk::Store::Operation> operations;
  const std::size_t issued = time();
  const auto any_key = [&] { return static_cast<int>(random() % static_cast<unsigned>(keys)); };
  struct Note { int key; std::optional<std::uint64_t> put; std::size_t operation = 0; };
  std::vector<Note> notes;
  if (kind == 0) {
    const int key = any_key();
    operations.push_back(disk::Store::DropLabel{label_of(key)});
    for (int each = 0; each < keys; ++each) {
      if (label_of(each) == label_of(key)) notes.push_back({each, std::nullopt});
    }
  } else if (kind < 4) {
    const int key = any_key();
    operations.push_back(disk::Store::Drop{key_name(key)});
    notes.push_back({key, std::nullopt});
  } else {
    for (std::size_t n = 1 + random() % 4; n != 0; --n) {
      const int key = any_key();
      operations.push_back(disk::Store::Put{derived_value(key, ++version)});
      notes.push_back({key, version, operations.size() - 1});
    }
  }
  const bool stable = random() % 3 == 0;
  const auto outcomes = store.write(operations, stable, now_ms);
  for (const Note& note : notes) {  // each by itself: of a batch that fails a part may be done
    std::optional<std::size_t> acknowledged;
    if ((stable || kind < 4) && outcomes[note.operation] == disk::Store::Outcome::done) acknowledged = time();
    if (note.put) history.put(note.key, *note.put, issued, acknowledged);
    else history.drop(note.key, issued, acknowledged);
    if (note.put && faults && !acknowledged) history.drop(note.key, issued, std::nullopt);
  }
}

std::string Workload::problem(disk::Store& store, std::size_t now, bool lossless, std::uint64_t now_ms) {
  for (int key = 0; key < keys; ++key) {
    const auto loaded = store.load(key_name(key), now_ms);
    if (!loaded) return "key " + std::to_string(key) + ": " + loaded.error().text;
    const std::string wrong = history.problem(key, *loaded, now, lossless);
    if (!wrong.empty()) return "key " + std::to_string(key) + ": " + wrong;
  }
  return "";
}

}  // namespace onced::testing
