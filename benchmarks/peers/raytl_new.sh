# raytl, as docs/guide/new.md has it: a folder of pictures by class, or a table. None of the weights
# is of a network for tables, so that german has none.
set -e
case $1 in hymenoptera | office) data=train test=test ;; *) data=train.csv test=test.csv ;; esac
case $1 in german) models= ;; *) models="--source-model weights" ;; esac
raytl new $data --minutes "$2" $models --data dataset --out study.yaml
raytl sweep study.yaml --out run
raytl predict run/best $test --out predictions.csv
