# raytl, as docs/guide/new.md has it: a folder of pictures by class, or a table.
set -e
case $1 in hymenoptera | office) data=train test=test ;; *) data=train.csv test=test.csv ;; esac
raytl new $data --minutes "$2" --source-model weights --data dataset --out study.yaml
raytl sweep study.yaml --out run
raytl predict run/best $test --out predictions.csv
