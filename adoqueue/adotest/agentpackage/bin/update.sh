#!/usr/bin/env bash
# Puts the new version of the agent in place of the old one, once that has
# ended: update.sh ROOT OLD NEW PID RESTART.
root=$1 old=$2 new=$3 listener=$4 restart=$5
log=$root/_diag/SelfUpdate-$new.log

tick() { ping -c 2 -i 1 127.0.0.1 >/dev/null; } # without ping it spins
give_up() {
  echo "$*" >>"$log"
  mv -f "$log" "$log.failed"
  exit 1
}

echo "waiting for process $listener" >>"$log"
while [[ -e /proc/$listener ]]; do tick; done
tick
for folder in bin externals; do
  if [[ -L $root/$folder ]]; then
    rm -f "$root/$folder" || give_up "cannot remove the link $folder"
  else
    mv -f "$root/$folder" "$root/$folder.$old" || give_up "cannot move $folder"
    sleep "${ADOTEST_MOVE_SECONDS:-0}" # on an overlay file system it is copied
  fi
done
for folder in bin externals; do
  ln -s "$root/$folder.$new" "$root/$folder" || give_up "cannot link $folder"
done
echo "updated to $new" >>"$log"
mv -f "$log" "$log.succeed"
((restart == 0)) || "$root/run.sh" &
