#include "disk/aside.hpp"

#include <algorithm>
#include <utility>

namespace onced::disk {
namespace {

constexpr std::uint64_t block_bytes = 4096;

std::uint64_t whole_blocks(std::uint64_t bytes) { return (bytes + block_bytes - 1) / block_bytes * block_bytes; }

// aside/format-1-1/parts/3f -> aside/format-1-1
std::string store_of(const std::string& path) {
  const auto behind = path.find('/', std::string(aside_directory).size() + 1);
  return path.substr(0, behind);
}

}  // namespace

void Aside::open() {
  auto names = files_.list(aside_directory);
  if (!names) return;
  std::sort(names->rbegin(), names->rend());  // one store after the other
  for (const std::string& name : *names) {
    const std::string path = std::string(aside_directory) + "/" + name;
    const auto status = files_.status(path);
    if (!status) continue;
    if (status->kind == FileSystem::Kind::directory && name.starts_with(older_format_prefix)) look_into(path, older_);
    else count_damaged(status->bytes);
  }
  std::uint64_t bytes = 0;
  for (const Older& one : older_) bytes += one.bytes;
  older_bytes_.store(bytes, std::memory_order_relaxed);
}

void Aside::look_into(const std::string& path, std::vector<Older>& found) {
  const auto status = files_.status(path);
  if (!status) return;
  const bool is_directory = status->kind == FileSystem::Kind::directory;
  found.push_back({path, is_directory ? 0 : whole_blocks(status->bytes)});
  if (!is_directory) return;
  const auto names = files_.list(path);
  if (!names) return say_(path + " cannot be looked into, and does not count: " + names.error().text);
  for (const std::string& name : *names) look_into(path + "/" + name, found);
}

bool Aside::make_room(std::uint64_t bytes) {
  std::uint64_t removed_bytes = 0;
  // And the directory of this store that is empty now.
  const auto is_left_over = [this](const Older& one) { return one.bytes == 0 && store_of(one.path) == being_removed_; };
  while (!older_.empty() && (removed_bytes < bytes || is_left_over(older_.back()))) {
    Older one = std::move(older_.back());
    older_.pop_back();
    const std::string store = store_of(one.path);
    if (store != being_removed_) {
      being_removed_ = store;
      say_(store + ", the store of an older format, is being removed: its room is needed");
    }
    const auto removed = files_.remove(one.path);
    if (!removed && removed.error().code != ErrorCode::not_found) {  // people may have removed it
      if (store != failed_with_) say_(one.path + " could not be removed, and is tried again when room is needed: " + removed.error().text);
      failed_with_ = store;
      older_.insert(older_.begin(), std::move(one));  // the others first; and in this order again, what lies in it before the directory
      break;
    }
    older_bytes_.fetch_sub(one.bytes, std::memory_order_relaxed);
    removed_bytes += one.bytes;
  }
  return removed_bytes > 0;
}

}  // namespace onced::disk
